"""The key of a question says what it is about: the same question of the same tier has the same key, and can be read from it."""

from ..records import Clip, Question, QuestionKind

DEFAULT = "default"  # the tier of a run without named ones
PREFIX: dict[QuestionKind, str] = {"step": "label", "clip": "clip", "pair": "pair", "moments": "moments"}
NUMBERS = {"label": 2, "clip": 3, "pair": 6, "moments": 3}  # environment and step, of clips the length too


def key_of(kind: QuestionKind, clip: Clip, right: Clip | None, tier: str, repeat: int) -> str:
    """repeat: which of the tier's answers about the same clips. The first one of the default tier is not named."""
    clips = [clip] if right is None else [clip, right]
    numbers = [n for one in clips for n in ((one.env, one.step) if kind == "step" else (one.env, one.step, one.length))]
    key = "/".join([PREFIX[kind], *map(str, numbers)])
    return key if (tier, repeat) == (DEFAULT, 0) else f"{key}/{tier}/{repeat}"


def question_of(key: str) -> Question | None:
    """The question that was asked under a key; None where it is no such key."""
    prefix, *parts = key.split("/")
    number = NUMBERS.get(prefix, 0)
    numbers, rest = parts[:number], parts[number:]
    if not number or len(numbers) < number or not all(part.isdecimal() for part in numbers) or len(rest) not in (0, 2):
        return None
    kind: QuestionKind = next(kind for kind, name in PREFIX.items() if name == prefix)
    clips = [Clip(*map(int, numbers[start : start + 3])) for start in range(0, number, 3)]
    tier = rest[0] if rest else DEFAULT
    return Question(key, clips[0], tier, kind, clips[1] if len(clips) > 1 else None)
