"""Does a run survive what happens to runs? Kills, power cuts, damaged files, strangers' files, signals and poison.

    python benchmarks/reliability.py [--kills 100] [--seed 0] [--json FILE] [--only kills,points,...]

Every accident is done to runs of a second or two, each in a process of its own; then the run goes on, and is compared with
one that nothing happened to. Prints the table that is kept in benchmarks/results/reliability.md; --json writes the numbers.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

PARTS = ("kills", "points", "progress", "corruptions", "strangers", "stops", "poison")


def main() -> None:
    options = parsed()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # bit for bit needs the same number in each life
    # Imported here: the workers of a life's environments import this file, and need none of it.
    from accidents import report, survey

    with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
        os.environ["XDG_STATE_HOME"] = f"{folder}/state"  # where the key lies with which runs are signed
        found = survey.survey(Path(folder), options.kills, options.seed, options.only)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    print(report.table(found))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--kills", type=int, default=100, help="kill -9 at random moments, in all (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments, places and bits (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write all numbers there")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS), help=",".join(PARTS))
    options = parser.parse_args()
    unknown = set(options.only) - set(PARTS)
    if unknown or options.kills < 1:
        parser.error(
            f"--only: {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}" if unknown else "--kills: at least 1"
        )
    return options


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent)
    main()
