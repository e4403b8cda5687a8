"""What `python benchmarks/peers` runs, which is told in comparison.py; the processes it starts are told in learner.py."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python puts this folder first; like the scripts beside it, it imports from the folder above.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    if sys.argv[1:2] == ["learner"]:
        from peers.learner import main
    else:
        from peers.comparison import main

    main()
