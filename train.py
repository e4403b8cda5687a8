"""Train an agent: `python train.py [PRESET ...] [KEY=VALUE ...]`, the same as `tandem train`."""

import sys

from tandem import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
