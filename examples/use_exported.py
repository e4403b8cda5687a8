"""Play and score an environment by exported programs; needs torch, numpy and gymnasium, and nothing of ours.

    tandem export RUN --policy policy.pt2 --reward reward.pt2
    python use_exported.py policy.pt2 reward.pt2 --episodes 3

Everything that is done here is told in the JSON that lies in each file: which tensors a program takes and gives, how an observation
is read, how an action is made. What is Atari's or dm_control's own (frames that are pooled, cameras) is not.
"""

import argparse
import json

import gymnasium
import numpy as np
import torch

ROWS_A_PIECE = 256  # so that the draws are those of the run's own `agent.reward`


def load(path):
    """-> the program, to be called with tensors, and what it says of itself."""
    files = {"tandem.json": ""}
    program = torch.export.load(path, extra_files=files)
    return program.module(), json.loads(files["tandem.json"])


def read(given, about):
    """An observation of the environment's own -> key: array, as the programs take it."""
    obs = {}
    for key, told in about["obs"].items():
        value = given
        for place in told["path"]:
            value = value[place]
        value = np.asarray(value)
        if told["kind"] == "image":
            value = picture(value, told["layout"], about["environment"]["size"])
        elif told["kind"] == "category":
            value = value.reshape(-1) - np.array(told["start"])
        obs[key] = value.astype(told["dtype"]).reshape(told["shape"])
    return obs


def picture(value, layout, size):
    """Channels last, `size` pixels a side: each the mean of the area that it covers."""
    value = value[:, :, None] if layout == "HW" else value.transpose(1, 2, 0) if layout == "CHW" else value
    height, width, _ = value.shape
    if (height, width) == (size, size):
        return value
    covered = np.einsum("ih,hwc,jw->ijc", overlaps(height, size), value.astype(float), overlaps(width, size))
    return np.rint(covered / (height * width))


def overlaps(side, size):
    """(size, side): how much of each old pixel each new one covers, both measured in 1 / (size * side) of the picture."""
    old, new = np.arange(side) * size, np.arange(size)[:, None] * side
    return np.maximum(np.minimum(old + size, new + side) - np.maximum(old, new), 0)


def action_of(vector, told):
    """The policy's vector -> an action of the environment's own space."""
    if told["kind"] == "dict":
        return {key: action_of(vector, part) for key, part in zip(told["keys"], told["parts"], strict=True)}
    if told["kind"] == "tuple":
        return tuple(action_of(vector, part) for part in told["parts"])
    if told["kind"] == "choice":
        return told["start"] + int(np.argmax(vector[slice(*told["at"])]))
    if told["kind"] == "choices":
        chosen = [int(np.argmax(vector[slice(*at)])) for at in told["at"]]
        return (np.array(chosen) + told["start"]).astype(told["dtype"]).reshape(told["shape"])
    low, high = np.array(told["low"], float), np.array(told["high"], float)
    numbers = np.clip(vector[slice(*told["at"])], -1, 1)  # a policy's tails must not reach the simulator
    return ((high + low) / 2 + (high - low) / 2 * numbers).astype(told["dtype"]).reshape(told["shape"])


def zeros(told):
    """The state before the first call."""
    return {name: torch.zeros(one["shape"]) for name, one in told.items() if "shape" in one}


def play(env, policy, about, seed):
    """One episode. -> its rows: observations, and the vector and the true reward that led to each."""
    generator = torch.Generator().manual_seed(seed)
    batch = json.loads(json.dumps(about["takes"]).replace('"N"', "1"))  # one environment
    state, vector = zeros(batch["state"]), np.zeros(about["action"]["size"], np.float32)
    given, _ = env.reset(seed=seed)
    rows, reward, is_over = [], 0.0, False
    while True:
        obs = read(given, about)
        rows.append((obs, vector, reward))
        if is_over:
            return rows
        noise = {name: drawn(one, generator) for name, one in batch["noise"].items()}
        tensors = {key: torch.from_numpy(value[None]) for key, value in obs.items()}
        action, state = policy(tensors, state, torch.tensor([len(rows) == 1]), noise)
        vector, reward = action[0].numpy(), 0.0
        for _ in range(about["environment"]["repeat"]):
            given, more, is_terminated, is_truncated, _ = env.step(action_of(vector, about["action"]["space"]))
            reward, is_over = reward + float(more), is_terminated or is_truncated
            if is_over:
                break


def drawn(told, generator):
    """Noise of the law that its input states: "the first n standard normal, the last m uniform", or uniform alone."""
    noise = torch.rand(told["shape"], generator=generator)
    if told["law"].startswith("the first"):
        number = int(told["law"].split()[2])
        noise[..., :number] = torch.randn((*noise.shape[:-1], number), generator=generator)
    return noise


def score(program, about, obs, vectors):
    """What the reward model says of an episode's rows: mean and disagreement of its members, (T,) each.

    obs: key -> (T, *shape); vectors (T, A): what led to each row, of the first row any.
    """
    takes = about["takes"]
    generator, state = torch.Generator().manual_seed(0), zeros(takes["state"])
    draws, _, groups = takes["noise"]["shape"]
    means, disagreements = [], []
    for begin in range(0, len(vectors), ROWS_A_PIECE):
        piece = slice(begin, begin + ROWS_A_PIECE)
        rows = {key: torch.from_numpy(value[piece]) for key, value in obs.items()}
        actions = torch.from_numpy(vectors[piece])
        is_first = torch.zeros(len(actions), dtype=torch.bool)
        is_first[0] = begin == 0
        noise = torch.rand((draws, ROWS_A_PIECE, groups), generator=generator)[:, : len(actions)]
        mean, disagreement, state = program(rows, actions, is_first, state, noise)
        means.append(mean.numpy())
        disagreements.append(disagreement.numpy())
    return np.concatenate(means), np.concatenate(disagreements)


def make(about):
    """The environment that a run of `task=gym:Id` was trained in; make another one here yourself."""
    told = about["environment"]
    if not told["task"].startswith("gym:"):
        raise SystemExit(f"{told['task']}: is no environment of gymnasium's, put your own in place of make()")
    env = gymnasium.make(told["task"].removeprefix("gym:"), **told["kwargs"])
    return gymnasium.wrappers.TimeLimit(env, told["time_limit"]) if told["time_limit"] else env


def main():
    parser = argparse.ArgumentParser(description="Play by an exported policy, and score what was played.")
    parser.add_argument("policy")
    parser.add_argument("reward", nargs="?")
    parser.add_argument("--episodes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    policy, about = load(options.policy)
    scorer, about_scorer = load(options.reward) if options.reward else (None, None)
    env = make(about)
    for seed in range(options.seed, options.seed + options.episodes):
        rows = play(env, policy, about, seed)
        told = f"episode {seed}: {len(rows) - 1} steps, true return {sum(row[2] for row in rows):.3f}"
        if scorer:
            obs = {key: np.stack([row[0][key] for row in rows]) for key in about["obs"]}
            mean, disagreement = score(scorer, about_scorer, obs, np.stack([row[1] for row in rows]))
            told += (
                f", by the reward model {mean.sum():.3f}; its members differ by {disagreement[1:].mean():.3f} a step"
            )
        print(told)


if __name__ == "__main__":
    main()
