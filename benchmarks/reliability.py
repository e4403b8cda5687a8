"""Does a run survive what happens to runs? Kills, power cuts, damaged files, strangers' files, signals and poison.

    python benchmarks/reliability.py [--kills 100] [--seed 0] [--json FILE] [--only kills,points,...] [--jobs 2]

Every accident is done to runs of a second or two, each in a process of its own; then the run goes on, and is compared with
one that nothing happened to. Prints the table that is kept in benchmarks/results/reliability.md; --json writes the numbers.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

PARTS = (
    "points",
    "exact",
    "kills",
    "stops",
    "poison",
    "corruptions",
    "strangers",
    "workers",
    "progress",
)  # the longest first


def main() -> None:
    options = parsed()
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch: bit for bit needs the same number in each life
    # Imported here: processes that a life starts for its environments import this file, and need none of it.
    from accidents import report, survey

    if len(options.only) > 1:
        words = [__file__, "--kills", str(options.kills), "--seed", str(options.seed)]
        found = survey.survey(options.only, words, options.jobs)
    else:
        with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
            os.environ["XDG_STATE_HOME"] = f"{folder}/state"  # where the key lies with which runs are signed
            part = options.only[0]
            found = survey.summed({part: survey.do(part, Path(folder), options.kills, options.seed)})
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    print(report.table(found))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="kill -9 at random moments (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments, places and bits (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write all numbers there")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS), help=",".join(PARTS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="parts at once (default: one a core)")
    options = parser.parse_args()
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"--only: no part {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    if options.kills < 1 or options.jobs < 1:
        parser.error("--kills and --jobs: at least 1")
    return options


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent)
    main()
