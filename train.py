"""Train an agent: `python train.py [PRESET ...] [KEY=VALUE ...]`, the same as `tandem train`.

This folder is the package `tandem`. Here it is imported from where this file lies, installed or not.
"""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent

if "tandem" not in sys.modules:  # also in the worker processes that import this file again
    # Python puts a script's folder first, where `envs` or `budget` would hide a person's own modules of that name.
    sys.path[:] = [folder for folder in sys.path if Path(folder or ".").resolve() != ROOT]
    spec = importlib.util.spec_from_file_location("tandem", ROOT / "__init__.py")
    sys.modules["tandem"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["tandem"])

if __name__ == "__main__":
    from tandem.cli import main

    sys.exit(main(["train", *sys.argv[1:]]))
