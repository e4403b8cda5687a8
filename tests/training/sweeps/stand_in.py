"""Stands in for train.py in tests of sweeps: keeps a lock, a configuration, what is done and checkpoints as a run does, learns nothing.

It works for as many ticks of 50 ms as `pace` in the sweep's folder says, and saves at each; seed 13 brings it an error.
"""

import fcntl
import json
import signal
import sys
import time
from pathlib import Path

words = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
goes_on = "--resume" in sys.argv
folder = Path(sys.argv[sys.argv.index("--resume") + 1] if goes_on else words["run.dir"])
config, ticks, ended = folder / "config.yaml", folder / "ticks", folder / "ended"


def end(number: int, frame: object) -> None:
    print("interrupted: saved", flush=True)
    with open(ended, "a") as file:
        file.write("saved\n")
    sys.exit(128 + number)


def write_checkpoint() -> None:
    checkpoint = folder / "checkpoints" / "000000000640"
    checkpoint.mkdir(parents=True)
    manifest = {"format": 2, "step": 640, "is_milestone": True, "files": {"run.pt": {}}, "covers": {}}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    (folder / "phases.jsonl").write_text(json.dumps({"phase": 2, "step": 640}) + "\n")


folder.mkdir(parents=True, exist_ok=True)
with open(folder / "lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert goes_on == config.exists(), "a run is begun once, and then gone on with"
    if not goes_on:
        config.write_text(f"seed: {words['seed']}\n")
    signal.signal(signal.SIGTERM, end)
    if config.read_text() == "seed: 13\n":
        print("error: no luck with 13", flush=True)
        sys.exit(2)
    pace = folder.parent / "pace"
    done = len(ticks.read_text()) if ticks.exists() else 0
    while done < (int(pace.read_text()) if pace.exists() else 1):
        time.sleep(0.05)
        with open(ticks, "a") as file:
            file.write(".")
        done += 1
    write_checkpoint()
    with open(ended, "a") as file:
        file.write("finished\n")
    print("done: return 1.0; see it with: tensorboard", flush=True)
