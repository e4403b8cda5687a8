"""A program that answers: tandem train smoke task=dmc_cartpole_swingup labeler.kind=clip 'labeler.command=[python,judge.py]'

A question a line comes in, an answer a line goes out, in JSON; any language will do. It needs nothing of Tandem. What it writes
on standard error is kept in the run's labeler.log. With labeler.parallel=4 four copies of it run.
"""

import json
import sys


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(reply(json.loads(line))), flush=True)  # flush, or the answer stays in this program


def reply(question: dict) -> dict:
    """The key says which question is answered; beside it stand a value, a preference, or why there is none."""
    key = question["key"]
    if question["kind"] == "moments" or not all("position" in clip.get("rows", {}) for clip in question["clips"]):
        return {"key": key, "declined": "there is no position to look at, or moments were asked for"}
    scores = [score(clip) for clip in question["clips"]]
    if question["kind"] == "pair":
        left, right = scores
        return {"key": key, "preference": 0.5 if left == right else float(left > right)}
    return {"key": key, "value": scores[0]}


def score(clip: dict) -> float:
    """1 for a row where the pole stands upright, 0 where it hangs; the clip's own rows are the last ones."""
    own = clip["rows"]["position"][-clip["length"] :]
    return sum((1 + cosine) / 2 for _, cosine, _ in own)


if __name__ == "__main__":
    main()
