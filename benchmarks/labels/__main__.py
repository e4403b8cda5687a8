"""What `python benchmarks/labels` runs: the kinds of answers side by side, told in kinds.py."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python puts this folder first; like the scripts beside it, it imports from the folder above (drawing.py, kept.py).
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from labels.kinds import main

    main()
