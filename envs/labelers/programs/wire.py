"""The form in which questions go out and replies come in: one JSON object each, the same for programs and servers.

A question: run, key, kind, tier, prompt, clips. A clip: env, step, length (its own rows, the last ones), num_padding (rows at the
front that are none), rows (observation key -> a value a row, nested lists; images are PNG in base64), actions (that led to each
row) and, where there are any, snapshots (base64). A reply: key, and one of value (step, clip), preference (pair: 1 left, .5, 0
right), moments (pairs of a row of the clip from 0 on and its reward) and declined (why); seconds may stand beside it.
"""

import base64
import io
import json
import math
from typing import Any

import numpy as np
from PIL import Image

from ...records import Answer, Declined, Question, QuestionKind, Sight
from .account import printable

PROMPTS: dict[QuestionKind, str] = {
    "step": "What is the reward of the last row?",
    "clip": "What is the sum of the rewards of the clip's rows?",
    "pair": "Which clip is better: 1 the first, 0 the second, 0.5 neither?",
    "moments": "In which rows of the clip did something good or bad happen, and what is its reward?",
}
STATES: dict[QuestionKind, str] = {"step": "value", "clip": "value", "pair": "preference", "moments": "moments"}


class Unusable(ValueError):
    """What came is no reply to the question; the message says what is wrong with it."""


def written(question: Question, prompt: str, run: str) -> bytes:
    """The question in one line, its end included. prompt: in place of ours; run: the same for all questions of a run."""
    clips: list[dict[str, Any]] = [{"env": one.env, "step": one.step, "length": one.length} for one in question.clips]
    for clip, sight in zip(clips, question.sights, strict=False):  # nobody may have been asked to look
        clip |= _looked_at(sight)
    content = {"run": run, "key": question.key, "kind": question.kind, "tier": question.tier}
    content |= {"prompt": prompt or PROMPTS[question.kind], "clips": clips}
    return json.dumps(content).encode() + b"\n"  # ASCII: no byte of it is a line's end but the last


def _looked_at(sight: Sight) -> dict[str, Any]:
    content = {
        "num_padding": sight.num_padding,
        "rows": {key: _plain(value) for key, value in sight.obs.items()},
        "actions": _plain(sight.prev_action),
    }
    if sight.snapshots:
        content["snapshots"] = [base64.b64encode(one).decode() for one in sight.snapshots]
    return content


def _plain(rows: np.ndarray) -> list:
    """Nested lists; of images (L, H, W, C) uint8 a text each. What is not finite is null, which JSON knows."""
    if rows.dtype == np.uint8 and rows.ndim == 4:
        return [base64.b64encode(_png(image)).decode() for image in rows]
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        plain = rows.astype(object)
        plain[~np.isfinite(rows)] = None
        return plain.tolist()
    return rows.tolist()


def _png(image: np.ndarray) -> bytes:
    """(H, W, C): grey for C = 1, colour for 3; other channels stand below each other, (C * H, W) grey."""
    height, width, channels = image.shape
    picture = image if channels == 3 else image.transpose(2, 0, 1).reshape(channels * height, width)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "png")
    return file.getvalue()


def parsed(line: bytes) -> dict[str, Any]:
    """The JSON object that somebody wrote. Unusable where it is none, or has no key."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Unusable("no JSON") from error
    if not isinstance(content, dict) or not isinstance(content.get("key"), str):
        raise Unusable("no JSON object with a key")
    return content


def reply_of(content: dict[str, Any], question: Question) -> Answer | Declined:
    """What is said about the question. Unusable where it says nothing that an answer to it can be."""
    if "declined" in content:
        return Declined(question.key, printable(str(content["declined"])) or "no reason was given")
    name = STATES[question.kind]
    if name not in content:
        raise Unusable(f"the reply has no {name}")
    seconds = _number(content.get("seconds", 0.0), "seconds")
    if seconds < 0:
        raise Unusable(f"seconds is {seconds}")
    if question.kind == "moments":
        moments = _moments(content[name], question.clip.length)
        return Answer(question.key, sum(value for _, value in moments), seconds=seconds, moments=moments)
    value = _number(content[name], name)
    if question.kind == "pair" and value not in (0.0, 0.5, 1.0):
        raise Unusable(f"preference is {value}, neither 0, 0.5 nor 1")
    return Answer(question.key, value, seconds=seconds)


def _moments(said: object, length: int) -> tuple[tuple[int, float], ...]:
    if not isinstance(said, list) or not all(isinstance(one, list) and len(one) == 2 for one in said):
        raise Unusable("moments is no list of pairs of a row and its reward")
    rows = [row for row, _ in said]
    if any(not isinstance(row, int) or isinstance(row, bool) or not 0 <= row < length for row in rows):
        raise Unusable(f"moments has a row that is none of 0 to {length - 1}")
    if len(set(rows)) < len(rows):
        raise Unusable("moments names a row twice")
    return tuple((row, _number(value, "moments")) for row, value in said)


def _number(said: object, name: str) -> float:
    try:
        value = float(said) if isinstance(said, int | float) and not isinstance(said, bool) else math.nan
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise Unusable(f"{name} is {printable(repr(said))}, no finite number")
    return value
