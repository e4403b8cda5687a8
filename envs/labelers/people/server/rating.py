"""The rater's side of the server: a question, its films, and what can be said of it."""

from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..counter import Counter, Item, Receipt
from ..films import Film, Films
from ..overview import Overview
from ..queue import Queue
from ..raters import Rater
from ..schema import QueueRefused
from ..verdict import Given
from . import words
from .bodies import Refused, answered, fields, read
from .doors import Doors
from .media import ranged


@dataclass(frozen=True)
class Rating:
    queue: Queue
    doors: Doors

    @property
    def routes(self) -> list[Route]:
        posts = {"next": self.next, "answer": self.answer, "undo": self.undo, "heartbeat": self.heartbeat}
        posts |= {"skip": self.skip, "cannot_tell": self.cannot_tell}
        return [
            Route("/api/me", self.me),
            *(Route(f"/api/{name}", act, methods=["POST"]) for name, act in posts.items()),
            Route("/film/{question:int}/{side:int}", self.film),
        ]

    async def me(self, request: Request) -> JSONResponse:
        rater = await answered(self.doors.rater, request)
        today, seconds_each = await answered(self._counter.today, rater.name)
        kind = await answered(self.queue.meta, "kind", "clip")
        told = {"name": rater.name, "today": today, "seconds_each": seconds_each, "kind": kind}
        return JSONResponse(told | {"worst": words.WORST, "best": words.BEST, "instructions": words.instructions(kind)})

    async def next(self, request: Request) -> JSONResponse:
        rater = await answered(self.doors.rater, request)
        fields(await read(request))
        try:
            item = await answered(self._counter.next, rater.name)
        except QueueRefused as error:
            if error.word != "paused":
                raise
            return _waiting(words.PAUSED, str(error).capitalize(), words.AGAIN_SECONDS)
        if item is None:
            is_training = await answered(Overview(self.queue).has_trainer)
            return _waiting(words.NOTHING, words.NO_QUESTION if is_training else words.NO_TRAINER, words.AGAIN_SECONDS)
        shown = await answered(self._shown, item)
        return JSONResponse({"question": shown}) if shown else _waiting(words.DRAWING_TITLE, words.DRAWING, words.DRAWING_SECONDS)  # fmt: skip

    async def answer(self, request: Request) -> JSONResponse:
        rater = await answered(self.doors.rater, request)
        receipt = await answered(self._counter.answer, rater.name, Given.of(await read(request)))
        return JSONResponse(_told(receipt))

    async def undo(self, request: Request) -> JSONResponse:
        rater = await answered(self.doors.rater, request)
        said = fields(await read(request), answer=str, uuid=str)
        await answered(self._counter.undo, rater.name, said["answer"])
        return JSONResponse(await answered(self._progress, rater))

    async def skip(self, request: Request) -> JSONResponse:
        return await self._decline(request, "skipped")

    async def cannot_tell(self, request: Request) -> JSONResponse:
        return await self._decline(request, "cannot_tell")

    async def heartbeat(self, request: Request) -> JSONResponse:
        rater = await answered(self.doors.rater, request)
        said = fields(await read(request), question=int)
        await answered(self._counter.heartbeat, rater.name, said["question"])
        return JSONResponse({})

    async def film(self, request: Request) -> Response:
        """A film strip, for a rater who was given its question, and for the owner."""
        question, side = request.path_params["question"], request.path_params["side"]
        await answered(self._check_sees, request, question)
        film = await answered(self._films.film, question, side) if max(question, side) < 2**63 else None
        if film is None or not film.webp:
            raise Refused(404, "there is no such film")
        return ranged(request, film.webp, "image/webp")

    async def _decline(self, request: Request, outcome: str) -> JSONResponse:
        rater = await answered(self.doors.rater, request)
        said = fields(await read(request), question=int, uuid=str, seconds=(int, float))
        await answered(self._counter.skip, rater.name, said["question"], said["uuid"], said["seconds"], outcome)
        return JSONResponse(await answered(self._progress, rater))

    def _progress(self, rater: Rater) -> dict:
        today, seconds_each = self._counter.today(rater.name)
        return {"today": today, "seconds_each": seconds_each}

    def _check_sees(self, request: Request, question: int) -> None:
        try:
            self.doors.owner(request)
        except Refused:
            rater = self.doors.rater(request)
            if question >= 2**63 or not self._films.is_shown_to(rater.name, question):
                raise Refused(404, "there is no such film") from None

    def _shown(self, item: Item) -> dict | None:
        """The question as the page shows it; None while its films are not drawn yet."""
        films = [self._films.film(item.question, side) for side in item.sides]
        if not all(films):
            return None
        shown = [shown_film(film, item.question, side) for film, side in zip(films, item.sides, strict=True) if film]
        kind = "clip" if item.kind == "step" else item.kind  # both are answered by a score
        return {"id": item.question, "kind": kind, "prompt": item.prompt, "rows": item.rows, "films": shown}

    @property
    def _counter(self) -> Counter:
        return Counter(self.queue)

    @property
    def _films(self) -> Films:
        return Films(self.queue)


def shown_film(film: Film, question: int, side: int) -> dict:
    """What the page knows of a film: its facts and, where it is a picture, its address."""
    return film.facts | ({"url": f"/film/{question}/{side}"} if film.webp else {})


def _told(receipt: Receipt) -> dict:
    told = asdict(receipt)
    given = {
        "uuid": told["uuid"],
        "state": told["state"],
        "today": told["today"],
        "seconds_each": told["median_seconds"],
    }
    if receipt.feedback is not None:
        given["feedback"] = words.feedback(receipt.feedback)
    return given


def _waiting(title: str, text: str, seconds: int) -> JSONResponse:
    return JSONResponse({"title": title, "waiting": text, "again_seconds": seconds})
