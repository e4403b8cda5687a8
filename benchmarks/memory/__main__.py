"""What do a million steps take, in memory and on disk? And how fast are batches drawn from memory and from mapped files?

    python benchmarks/memory [--rows 20000]

Synthetic rows, a label for every fourth; deter 512, stoch 32, 6 actions; vectors of 24 numbers or 64x64x3 images. Bytes
are those of the rows held and of the files written. Each case runs in a process of its own. Times are of the processor and want an idle machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tandem.envs.records import Answer, ObsSpec, Question, Spaces
from tandem.worldmodel.replay.journal.labels import Entry, LabelJournal
from tandem.worldmodel.replay.label_store import Asked
from tandem.worldmodel.replay.labels import LabelReplay, LabelReplayConfig
from tandem.worldmodel.replay.rows.rings import Rings
from tandem.worldmodel.replay.tick import Ticks
from tandem.worldmodel.replay.transitions import ReplayConfig, TransitionReplay

RESULTS = Path(__file__).parents[1] / "results"
OBS = {"vector": {"state": ObsSpec((24,))}, "image": {"image": ObsSpec((64, 64, 3), kind="image")}}
NUM, DETER, STOCH, BLOCK, ORDER, ACTIONS, WINDOW = 4, 512, 32, 500, 100, 6, 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        obs, latents, storage = options.case.split("/")
        print(json.dumps(measured(obs, latents, storage, options.rows)))
        return
    cases = [f"{o}/{la}/{s}" for o in OBS for la in ("float32", "bfloat16") for s in ("memory", "mmap")]
    found = {}
    for case in cases:
        command = [sys.executable, __file__, "--rows", str(options.rows), "--case", case]
        found[case] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        print(case, found[case], flush=True)
    (options.results / "memory.json").write_text(json.dumps({"rows": options.rows, "cases": found}, indent=1) + "\n")
    (options.results / "memory.md").write_text(table(found, options.rows))


def measured(obs: str, latents: Any, storage: str, rows: int) -> dict[str, float]:
    """GB for a million steps, and batches a second, of one case."""
    torch.set_num_threads(1)
    spaces, rng = Spaces(OBS[obs], ACTIONS), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "rows" if storage == "mmap" else None
        replay = TransitionReplay(ReplayConfig(latents=latents), spaces, NUM, 64, DETER, STOCH, scratch)
        for first in range(0, rows // NUM, BLOCK):
            replay.extend(block(spaces, first, rng))
        labels = LabelReplay(LabelReplayConfig(), spaces, DETER, STOCH, latents=latents, scratch=scratch)
        journal = LabelJournal(Path(folder) / "labels")
        buy(labels, replay, journal, rows // 4, rng)
        disk = sum(path.stat().st_size for path in journal.log.folder.iterdir())
        whole = rows // 4 * (WINDOW * (row_bytes(spaces) + 1) + 4 * DETER + STOCH)
        return {
            "replay_gb": bytes_of(replay.training) / 1000,
            "labels_gb": (len(labels.shared) * labels.shared.row_bytes + rows // 4 * bytes_of(labels.training))
            / rows
            / 1000,
            "labels_before_gb": rows // 4 * (WINDOW * (row_bytes(spaces) + 1) + latent_bytes(latents)) / rows / 1000,
            "journal_gb": disk / rows / 1000,
            "journal_before_gb": whole / rows / 1000,
            "windows_per_second": per_second(lambda: replay.sample(16, rng)),
            "label_batches_per_second": per_second(lambda: labels.sample(128, rng)),
        }


def row_bytes(spaces: Spaces) -> int:
    return sum(int(np.prod(one.shape)) * np.dtype(one.dtype).itemsize for one in spaces.obs.values()) + 4 * ACTIONS


def latent_bytes(latents: str) -> int:
    return DETER * (2 if latents == "bfloat16" else 4) + STOCH


def bytes_of(rings: Rings) -> int:
    """Of a row."""
    return sum(column[0].nbytes for column in rings.columns.values())


def block(spaces: Spaces, first: int, rng: np.random.Generator) -> Ticks:
    step = np.arange(first, first + BLOCK)[:, None].repeat(NUM, 1)
    lead, no = step.shape, np.zeros(step.shape, bool)
    obs = {
        name: rng.integers(0, 256, (*lead, *spec.shape), np.uint8)
        if spec.kind == "image"
        else rng.standard_normal((*lead, *spec.shape), np.float32)
        for name, spec in spaces.obs.items()
    }
    latent = rng.standard_normal((*lead, DETER), np.float32), rng.integers(0, 4, (*lead, STOCH), np.uint8)
    action = rng.standard_normal((*lead, ACTIONS), np.float32)
    return Ticks(obs, step % BLOCK == 0, step % BLOCK == BLOCK - 1, no, step, no, action, *latent)


def buy(labels: LabelReplay, replay: TransitionReplay, journal: LabelJournal, number: int, rng) -> None:
    for _ in range(number // ORDER):
        clips = replay.open.draw(ORDER, rng)
        copies = labels.copies(replay, clips)
        asked = [Asked(Question(f"label/{c.env}/{c.step}", c), o, True) for c, o in zip(clips, copies, strict=True)]
        journal.write(Entry(0, tuple(asked)))
        for item in asked:
            labels.ask(item)
            labels.answer(Answer(item.question.key, 0.0))


def per_second(draw) -> float:
    """Of processor time, the median of eleven times twenty."""
    seconds = []
    for _ in range(11):
        start = time.process_time()
        for _ in range(20):
            draw()
        seconds.append((time.process_time() - start) / 20)
    return round(1 / float(np.median(seconds)), 1)


def table(found: dict[str, dict[str, float]], rows: int) -> str:
    names = list(next(iter(found.values())))
    lines = [
        f"GB for a million steps (counted on {rows:,}, a label for every fourth), and batches a second. `before`: whole copies",
        "",
        "| observations/latents/storage | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    lines += [f"| {case} | " + " | ".join(f"{one[name]:.3g}" for name in names) + " |" for case, one in found.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
