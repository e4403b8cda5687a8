"""What a stranger's folder says, made fit to be shown."""

import unicodedata

STEERING = (
    "Cc",
    "Cf",
    "Cs",
    "Co",
)  # categories of signs that steer a terminal, turn the direction of writing, or are none
BOX = "\ufffd"


def harmless(text: str, kept: str = "") -> str:
    """The same with a box for each sign that does more than to be read, but for those of `kept`."""
    return "".join(BOX if one not in kept and _is_steering(one) else one for one in text)


def _is_steering(sign: str) -> bool:
    """No XML may hold the last two of a plane either."""
    return unicodedata.category(sign) in STEERING or ord(sign) & 0xFFFE == 0xFFFE
