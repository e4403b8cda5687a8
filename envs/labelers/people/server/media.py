"""Bytes for a browser, whole or one range of them."""

import re

from starlette.requests import Request
from starlette.responses import Response


def ranged(request: Request, body: bytes, media_type: str) -> Response:
    """The body, or the single range of it that is asked for; more ranges than one are answered by all of it, as is allowed."""
    headers = {"accept-ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d{0,12})-(\d{0,12})", request.headers.get("range", "").strip())
    if not asked or not (asked[1] or asked[2]):
        return Response(body, media_type=media_type, headers=headers)
    first, last = limits(asked[1], asked[2], len(body))
    if first > last:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{len(body)}"})
    headers["content-range"] = f"bytes {first}-{last}/{len(body)}"
    return Response(body[first : last + 1], 206, headers, media_type)


def limits(first: str, last: str, size: int) -> tuple[int, int]:
    """The first and last byte, both inclusive, of "first-last"; without a first it is the last so many. first > last: none."""
    if not first:
        return max(0, size - int(last)) if int(last) else size, size - 1
    return int(first), min(int(last), size - 1) if last else size - 1
