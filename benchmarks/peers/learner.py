"""One code base's learner in a process of its own: it updates once for each line it reads and answers with the milliseconds.

    python benchmarks/peers learner NAME SIZE OBSERVATIONS THREADS [FOLDER]

Its first line, in JSON, says what it is. The comparison starts it, a peer in that peer's own Python.
"""

import importlib
import json
import os
import sys
import time

import torch

from peers.shapes import Subject

WARM_UP = 3  # updates; heads that start at zero pass no gradient on before the second
MAKERS = {"torchrl": "peers.torchrl_recipe", "r2dreamer": "peers.r2dreamer"}


def main() -> None:
    name, size, observations, threads, *folder = sys.argv[2:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a code base prints is no answer
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    subject = importlib.import_module(MAKERS.get(name, "peers.ours")).make(name, size, observations, *folder)
    print(json.dumps(described(subject)), file=answers, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        subject.update()
        print(1000 * (time.perf_counter() - start), file=answers, flush=True)


def described(subject: Subject) -> dict:
    """Warms it up. -> what runs, its trained parameters, and how many tensors of which parts did not change."""
    before = {part: [one.detach().clone() for one in tensors] for part, tensors in subject.parts.items()}
    for _ in range(WARM_UP):
        subject.update()
    still = {part: sum(map(torch.equal, tensors, before[part])) for part, tensors in subject.parts.items()}
    return {
        "version": f"{subject.version}, torch {torch.__version__}",
        "parameters": {part: sum(one.numel() for one in tensors) for part, tensors in subject.parts.items()},
        "unchanged_tensors": {part: number for part, number in still.items() if number},
        "milliseconds": [],
    }
