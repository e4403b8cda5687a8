"""Label Studio's JSON: a task for each question, an annotation for each answer; and tasks to be labelled there."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ....sights.mp4 import missing
from ..films import Films
from ..schema import QueueRefused
from .clip_video import clip_video
from .records import Stranger

MOST_ROWS = 100_000  # of a clip: a range that is longer is cut, and then refused
SIGNS = {"success": 1, "failure": -1}
WORST_RATING, BEST_RATING = 1, 5
SIDES = ("", "_right")  # after a film's name in a task's data: the clip, or the left one of a pair; the right one


def tasks_of(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tasks in the order of the questions. A row of a clip is a frame, counted from 1 there."""
    tasks: dict[str, dict[str, Any]] = {}
    for record in records:
        task = tasks.setdefault(record["key"], _task(len(tasks) + 1, record) | {"annotations": []})
        if record["verdict"] is not None:
            task["annotations"].append(_annotation(record))
    return list(tasks.values())


def open_tasks(records: Sequence[Mapping[str, Any]], films: Films) -> tuple[list[dict[str, Any]], str]:
    """What can be labelled there: tasks of the open questions that are drawn, and why they have no videos (empty: they have).

    In a task's data are data: addresses, of each clip all pictures as one (`strip`) and an mp4 (`film`): Label Studio takes
    a task alone that has what its setup names, and no answer of somebody whom it does not know.
    """
    drawn: dict[str, dict[str, str]] = {}
    why = missing()
    for key, side, film in films.open_films():
        if not film.webp:
            continue
        shown = drawn.setdefault(key, {})
        shown["strip" + SIDES[side]] = _address("image/webp", film.webp)
        if not why:
            try:
                shown["film" + SIDES[side]] = _address("video/mp4", clip_video(film))
            except Exception as error:  # noqa: BLE001  of imageio, ffmpeg or a full disk: strips are left
                why = f"mp4 cannot be made ({type(error).__name__}: {error})"
    tasks = {}
    for record in records:
        shown = drawn.get(record["key"], {})
        if all("strip" + SIDES[side] in shown for side in range(len(record["clips"]))) and record["key"] not in tasks:
            tasks[record["key"]] = _task(len(tasks) + 1, record)
            tasks[record["key"]]["data"] |= {name: one for name, one in shown.items() if not why or name[:4] != "film"}
    return list(tasks.values()), why


def _task(number: int, record: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": number, "data": {name: record[name] for name in ("key", "kind", "tier", "prompt", "clips")}}


def strangers_of_tasks(text: str) -> list[Stranger]:
    """QueueRefused with the number of the task where it cannot be understood."""
    try:
        tasks = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise QueueRefused("invalid", f"is no JSON ({error})") from error
    found = []
    for number, task in enumerate(tasks, 1):
        try:
            found += _strangers(f"task {number}", task)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            told = f"{type(error).__name__}: {error}"
            raise QueueRefused("invalid", f"task {number}: not as Label Studio exports it ({told})") from error
    return found


def _address(form: str, content: bytes) -> str:
    return f"data:{form};base64,{base64.b64encode(content).decode()}"


def _annotation(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "completed_by": {"email": record["rater"]},
        "unique_id": record["uuid"],
        "lead_time": record["seconds"],
        "created_at": record["time"],
        "result": _results(record["verdict"]),
    }


def _results(verdict: float | str | list) -> list[dict[str, Any]]:
    if isinstance(verdict, str):
        return [_result("better", "choices", {"choices": [verdict]})]
    if isinstance(verdict, float | int):
        return [_result("score", "number", {"number": verdict})]
    names = {sign: name for name, sign in SIGNS.items()}
    return [
        _result(
            "moments",
            "timelinelabels",
            {"ranges": [{"start": row + 1, "end": row + 1}], "timelinelabels": [names[sign]]},
        )
        for row, sign in verdict
    ]


def _result(name: str, form: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "clip", "type": form, "value": value}


def _strangers(place: str, task: dict[str, Any]) -> Iterator[Stranger]:
    for annotation in task["annotations"]:
        if annotation.get("was_cancelled"):
            continue
        seconds = annotation.get("lead_time")
        verdict = _verdict(task["data"]["kind"], annotation["result"])
        who, uuid = _rater(annotation["completed_by"]), annotation.get("unique_id")
        yield Stranger(place, task["data"]["key"], who, verdict, 0.0 if seconds is None else seconds, uuid)


def _rater(completed_by: Any) -> Any:
    """Label Studio names a person by number, or by what it knows of them; what a name must not hold becomes a dot."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("username") or completed_by.get("id")
    name = f"annotator-{completed_by}" if isinstance(completed_by, int) else str(completed_by)
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_.-") else "." for letter in name)


def _verdict(kind: str, results: list[dict[str, Any]]) -> Any:
    """Of moments: each marked frame; of the others what the one result states."""
    if kind == "moments":
        return [
            [row - 1, SIGNS[result["value"]["timelinelabels"][0]]]
            for result in results
            for one in result["value"]["ranges"]
            for row in range(one["start"], min(one["end"], one["start"] + MOST_ROWS) + 1)
        ]
    (result,) = results
    value = result["value"]
    if result["type"] == "choices":
        return value["choices"][0]
    if result["type"] == "rating":
        return (value["rating"] - WORST_RATING) / (BEST_RATING - WORST_RATING)
    return value["number"]
