"""What was replied, as the arrays of a frame. Who answered, how long it took and what it cost stand there where it is known."""

import json
from collections.abc import Sequence

import numpy as np

from ....envs.records import Answer, Declined, Work

Arrays = dict[str, np.ndarray]
NO_PRICE = -1  # the price of the tier
PLAIN = Answer("", 0.0)


def reply_arrays(
    answers: Sequence[Answer], declined: Sequence[Declined], works: Sequence[Work], retracted: Sequence[str]
) -> Arrays:
    arrays: Arrays = {}
    if answers:
        arrays["answers/key"] = np.array([answer.key for answer in answers])
        arrays["answers/value"] = np.array([answer.value for answer in answers], np.float64)
    if any(
        (one.rater, one.seconds, one.price_micro) != (PLAIN.rater, PLAIN.seconds, PLAIN.price_micro) for one in answers
    ):
        arrays["answers/rater"] = np.array([answer.rater for answer in answers])
        arrays["answers/seconds"] = np.array([answer.seconds for answer in answers], np.float64)
        prices = [NO_PRICE if answer.price_micro is None else answer.price_micro for answer in answers]
        arrays["answers/price_micro"] = np.array(prices, np.int64)
    if any(answer.moments for answer in answers):
        arrays["answers/moments"] = np.array([json.dumps(answer.moments) for answer in answers])
    if declined:
        arrays["declined/key"] = np.array([one.key for one in declined])
        arrays["declined/reason"] = np.array([one.reason for one in declined])
    if any(one.is_given_up for one in declined):
        arrays["declined/is_given_up"] = np.array([one.is_given_up for one in declined])
    if works:
        for name in ("key", "rater", "reason"):
            arrays[f"works/{name}"] = np.array([getattr(work, name) for work in works])
        arrays["works/seconds"] = np.array([work.seconds for work in works], np.float64)
        arrays["works/price_micro"] = np.array([work.price_micro for work in works], np.int64)
    if retracted:
        arrays["retracted/rater"] = np.array(list(retracted))
    return arrays


def replies_of(arrays: Arrays) -> tuple[tuple[Answer, ...], tuple[Declined, ...], tuple[Work, ...], tuple[str, ...]]:
    """Answers, refusals, other work, people retracted."""
    keys, reasons = arrays.get("declined/key", np.zeros(0)), arrays.get("declined/reason", np.zeros(0))
    given_up = arrays.get("declined/is_given_up", np.zeros(len(keys), bool))
    works = zip(
        *(
            arrays.get(f"works/{name}", np.zeros(0)).tolist()
            for name in ("key", "rater", "seconds", "price_micro", "reason")
        ),
        strict=True,
    )
    return (
        tuple(_answer(arrays, place) for place in range(len(arrays.get("answers/key", ())))),
        tuple(Declined(*one) for one in zip(keys.tolist(), reasons.tolist(), given_up.tolist(), strict=True)),
        tuple(Work(*work) for work in works),
        tuple(map(str, arrays.get("retracted/rater", ()))),
    )


def _answer(arrays: Arrays, place: int) -> Answer:
    key, value = str(arrays["answers/key"][place]), float(arrays["answers/value"][place])
    moments: tuple[tuple[int, float], ...] = ()
    if "answers/moments" in arrays:
        moments = tuple((row, reward) for row, reward in json.loads(str(arrays["answers/moments"][place])))
    if "answers/rater" not in arrays:
        return Answer(key, value, moments=moments)
    price = int(arrays["answers/price_micro"][place])
    rater, seconds = str(arrays["answers/rater"][place]), float(arrays["answers/seconds"][place])
    return Answer(key, value, rater, seconds, None if price == NO_PRICE else price, moments)
