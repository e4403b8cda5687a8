"""What `python benchmarks/forks` runs: the experiment told in experiment.py."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python puts this folder first; like the scripts beside it, it imports from the folder above (cells.py).
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from forks.experiment import main

    main()
