"""What a run refuses when it is opened, and that looking changes nothing."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tandem
from tandem.agents.rewards import PIECE
from tandem.budget.ledger import Ledger
from tandem.budget.money import to_micro
from tandem.errors import UserError
from tandem.training.build import build, make_learner, task_spaces
from tandem.training.config import ConfigError
from tandem.training.learner import Noise
from tandem.training.parts.stores import make_labels
from tandem.training.phases import train
from tandem.training.settings import to_yaml
from tandem.training.storage import checkpoint
from tandem.training.storage.folder import RunFolder
from tandem.worldmodel.replay.labels import NO_FOLD


def learner_state(config) -> dict:
    return checkpoint.load(Path(config.run.dir) / "checkpoints").parts["learner"]


def test_labels_of_people_have_the_reach_that_is_set_and_others_none(tiny):
    people = ("labeler.name=people", "labeler.kind=clip", "labeler.low=-1", "labeler.high=3")
    for config, reach in ((tiny(*people), 0.4), (tiny(*people, "labeler.huber=0"), math.inf), (tiny(), math.inf)):
        assert make_labels(config, task_spaces(config)).form.reach == pytest.approx(reach)


def test_a_run_in_use_is_refused(tiny):
    config = tiny()
    train(config)
    lock = RunFolder(Path(config.run.dir)).hold()
    with pytest.raises(UserError, match="another process is training"):
        build(config, is_resumed=True)
    lock.close()
    build(config, is_resumed=True).close()


@pytest.mark.parametrize("missing", [pytest.param("transitions", marks=pytest.mark.slow), "labels", "vault"])
@pytest.mark.parametrize("is_exact", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_missing_journal_is_named(tiny, missing, is_exact):
    config = tiny()
    train(config)
    (Path(config.run.dir) / missing / "000000.log").unlink()
    with pytest.raises(UserError, match=r"were written|were paid for"):
        build(config, is_resumed=True, is_exact=is_exact)


def test_prices_cannot_be_edited_behind_the_ledgers_back(tiny):
    config = tiny()
    train(config)
    with pytest.raises(ConfigError, match="price"):
        build(replace(config, price=replace(config.price, label=2.0)), is_resumed=True)


def test_the_labels_of_a_first_episode_train_every_member_before_and_after_a_resume(tiny):
    """Later ones train all members but the one that leaves their episode out."""
    config = tiny("envs.num=1", "envs.heldout_share=0", "allocator.name=fixed")
    run = build(config, is_resumed=False)
    seen = []
    for rows in (15, 30):  # an episode has 21
        run.collector.open(rows)
        for _ in range(rows):
            run.collector.tick(run.agent)
        run.collector.close()
        run.desk.ask(10, run.numpy_rng)
        run.desk.collect()
        seen.append(run.labels.sample(100, run.numpy_rng).fold)
        run.save()
        run.close()
        run = build(config, is_resumed=True)
        seen.append(run.labels.sample(100, run.numpy_rng).fold)
    run.close()
    assert [set(fold.tolist()) for fold in seen] == [{NO_FOLD}, {NO_FOLD}, {0, 1, 2}, {0, 1, 2}]


@pytest.mark.slow
def test_other_widths_than_the_checkpoints_are_an_error(tiny):
    config = tiny()
    train(config)
    with pytest.raises(checkpoint.CheckpointError, match="does not fit"):
        build(replace(config, dynamics=replace(config.dynamics, units=16)), is_resumed=True)


def test_a_run_killed_in_its_first_checkpoint_begins_anew_with_what_it_bought(tiny, audit):
    config = tiny()
    train(config)
    folder = Path(config.run.dir)
    for path in checkpoint.list_checkpoints(folder / "checkpoints"):
        path.rename(path.with_suffix(".tmp"))
    train(config, resume=folder)
    assert audit(folder)["spent"] == config.budget.total


def test_a_price_that_0_1_rounded_down_is_the_ledgers_and_goes_on(tiny):
    """1.2345672 coins were 1,234,567 micro-coins then and are 1,234,568 now: what the ledger says counts."""
    config = tiny("price.label=1.2345672")
    prices = {"transition": 1_000_000, "label": 1_234_567}
    RunFolder(Path(config.run.dir)).make(to_yaml(config), to_micro(config.budget.total), prices)
    train(config, resume=Path(config.run.dir))
    ledger = Ledger.open(Path(config.run.dir) / "ledger.db")
    assert ledger.prices == prices and ledger.remaining < 3_000_000
    ledger.close()


def test_a_labeler_that_cannot_be_made_leaves_no_folder(tiny):
    config = tiny("labeler.name=no_such_module:Labeler")
    with pytest.raises(UserError, match=r"^labeler.name: no_such_module:Labeler cannot be made: ModuleNotFoundError"):
        train(config)
    assert not Path(config.run.dir).exists()


def test_how_much_is_looked_at_changes_nothing_that_is_learned(tiny):
    once, often = tiny(folder="once"), tiny("evaluate.episodes=3", folder="often")
    train(once)
    train(often)
    first, second = (torch.nn.utils.parameters_to_vector(actor(config)) for config in (once, often))
    assert torch.equal(first, second)


def actor(config) -> list[torch.Tensor]:
    return [value for value in learner_state(config)["actor_critic"].values() if value.is_floating_point()]


def test_a_generator_of_another_device_keeps_its_own_seed():
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    state = checkpoint.rng_state({"noise": generator})
    state["generators"]["noise"] = torch.zeros(16, dtype=torch.uint8)  # what a GPU's generator saves
    checkpoint.set_rng_state(state, {"noise": generator})
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("task", ["toy_lq", "gym:CartPole-v1"])
def test_every_trained_number_gets_a_gradient_in_bfloat16(tiny, buy, task):
    config = tiny(f"task={task}", "precision=bfloat16", "dynamics.free_nats=0")  # a floored KL has no gradient
    run = build(config, is_resumed=False)
    buy(run, 200, 8)
    learner = make_learner(config, task_spaces(config), torch.device("cpu"))
    # The rewards and values start at zero whatever the features: outputs that are not zero let gradients through.
    for out in (learner.reward.out_weight, learner.actor_critic.critic.out.weight):
        torch.nn.init.normal_(out, std=0.1)
    shape = (config.train.label_batch, config.labels.burn_in + 1)
    noise = Noise.draw(run.noise_rng, config.train, config.dynamics.stoch, run.spaces, *shape)
    labels = run.labels.sample(config.train.label_batch, run.numpy_rng)
    learner.update(run.transitions.sample(config.train.batch, run.numpy_rng), labels, noise)
    run.close()
    trained = [*learner.dynamics.named_parameters(), *learner.reward.named_parameters()]
    trained += [(name, p) for name, p in learner.actor_critic.named_parameters() if p.requires_grad]
    without = [name for name, p in trained if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_a_loaded_agent_says_of_a_replayed_episode_what_the_run_itself_predicts(tiny, buy):
    config = tiny("envs.heldout_share=0.5")
    run = build(config, is_resumed=False)
    torch.nn.init.normal_(run.learner.reward.out_weight, std=0.1)  # at the start every reward is 0
    buy(run, 400, 8)
    run.save()
    episode = run.transitions.heldout_episodes(1)[0]  # (1, T)
    length = episode.is_first.shape[1]
    noise = torch.rand((1, PIECE, config.dynamics.stoch), generator=torch.Generator().manual_seed(0))[:, :length]
    with torch.no_grad():
        feat = run.learner.dynamics.observe(episode, noise)[0].feat
        own, differing = run.learner.reward.predict(feat)[0, 1:], run.learner.reward.disagreement(feat)[0, 1:]
    run.close()
    agent = tandem.load(config.run.dir)
    obs = {key: value[0].numpy() for key, value in episode.obs.items()}
    found = agent.reward(obs, episode.prev_action[0].numpy(), draws=1)
    assert found.mean[0] == 0.0 and length > 10 and own.std() > 0 and differing.min() > 0
    np.testing.assert_allclose(found.mean[1:], own.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.disagreement[1:], differing.numpy(), rtol=1e-4, atol=1e-5)
