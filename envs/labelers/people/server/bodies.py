"""What comes in, read strictly, and what goes out: JSON, and a refusal as a line for a person."""

import json
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from ..schema import QueueRefused

# Of the queue's words. From 500 on a browser keeps what it has to say and tries again.
STATUS = {"invalid": 400, "retracted": 403, "unknown": 404, "paused": 409, "closed": 409, "busy": 503, "full": 507}


class Refused(Exception):
    """A request that cannot be granted: an HTTP status, and words for a person."""

    def __init__(self, status: int, words: str):
        super().__init__(words)
        self.status, self.words = status, words


async def read(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body. Raises Refused 400 for anything else, NaN included."""
    try:
        said = json.loads(await request.body() or b"{}", parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "a body is one JSON object, in UTF-8, without NaN") from error
    if not isinstance(said, dict):
        raise Refused(400, "a body is one JSON object")
    return said


def fields(said: dict[str, Any], **known: type | tuple[type, ...]) -> dict[str, Any]:
    """The values of an object with exactly these keys and types. Raises Refused 400."""
    if unknown := [name for name in said if name not in known]:
        raise Refused(400, f"{unknown[0][:40]!r}: there is no such key; known: {', '.join(known) or 'none'}")
    for name, kind in known.items():
        value = said.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise Refused(400, f"{name}: is missing or of the wrong type")
    return {name: said.get(name) for name in known}


async def answered(act: Callable[..., Any], *arguments: Any) -> Any:
    """What a verb of the queue gives, which waits for the disk: so in another thread. Raises what it raises."""
    return await run_in_threadpool(act, *arguments)


async def tell_refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return JSONResponse({"error": error.words}, error.status)


async def tell_queue_refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QueueRefused)
    return JSONResponse({"error": str(error), "word": error.word}, STATUS.get(error.word, 500))


def _no_constant(name: str):
    raise ValueError(name)
