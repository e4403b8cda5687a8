"""The rater's side of the server: a question, its films, and what can be said of it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..counter import Counter, Item, Receipt
from ..films import Film, Films
from ..queue import Queue
from ..raters import Rater
from ..schema import QueueRefused
from ..verdict import Given
from . import words
from .bodies import Refused, answered, fields, read
from .doors import Doors
from .examples import Examples
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
            Route("/api/examples", self.examples),
            *(Route(f"/api/{name}", act, methods=["POST"]) for name, act in posts.items()),
            Route("/film/{question}/{side}", self.film),
        ]

    async def me(self, request: Request) -> JSONResponse:
        return await self._act(request, self._me)

    async def examples(self, request: Request) -> JSONResponse:
        """Films for the ends of the scale: worst and best, as far as raters have agreed on any."""
        return await self._act(request, self._examples)

    async def next(self, request: Request) -> JSONResponse:
        return await self._act(request, self._next)

    async def answer(self, request: Request) -> JSONResponse:
        return await self._act(request, lambda rater, said: _told(self._counter.answer(rater.name, Given.of(said))))

    async def undo(self, request: Request) -> JSONResponse:
        return await self._act(request, self._undo)

    async def skip(self, request: Request) -> JSONResponse:
        return await self._act(request, lambda rater, said: self._decline(rater, said, "skipped"))

    async def cannot_tell(self, request: Request) -> JSONResponse:
        return await self._act(request, lambda rater, said: self._decline(rater, said, "cannot_tell"))

    async def heartbeat(self, request: Request) -> JSONResponse:
        return await self._act(request, self._heartbeat)

    async def film(self, request: Request) -> Response:
        """A film strip, for a rater who was given its question, and for the owner."""
        webp = await answered(self._film, request)
        return ranged(request, webp, "image/webp")

    async def _act(self, request: Request, act: Callable[[Rater, dict], dict]) -> JSONResponse:
        """What a rater's verb says of a body. All that waits for the disk is in one visit to another thread."""
        said = await read(request)
        return JSONResponse(await answered(lambda: act(self.doors.rater(request), said)))

    def _me(self, rater: Rater, said: dict) -> dict:
        kind = self.queue.meta("kind", "clip")
        told = {"worst": words.WORST, "best": words.BEST, "instructions": words.instructions()}
        return told | {"run": self.queue.meta("run"), "name": rater.name, "kind": kind} | self._progress(rater)

    def _examples(self, rater: Rater, said: dict) -> dict:
        told = {}
        for end, one in Examples(self.queue).at_ends().items():
            film = self._films.film(one.question, 0)
            if film is not None:
                text = words.EXAMPLE.format(one.raters, 1 + 4 * one.score)
                told[end] = {"text": text, "film": shown_film(film, one.question, 0)}
        return told

    def _next(self, rater: Rater, said: dict) -> dict:
        fields(said)
        try:
            item = self._counter.next(rater.name)
        except QueueRefused as error:
            if error.word != "paused":
                raise
            return _waiting(words.PAUSED, str(error).capitalize(), words.AGAIN_SECONDS)
        if item is None:
            text = words.NO_QUESTION if self.queue.has_trainer() else words.NO_TRAINER
            return _waiting(words.NOTHING, text, words.AGAIN_SECONDS)
        shown = self._shown(item)
        return {"question": shown} if shown else _waiting(words.DRAWING_TITLE, words.DRAWING, words.DRAWING_SECONDS)

    def _undo(self, rater: Rater, said: dict) -> dict:
        self._counter.undo(rater.name, fields(said, answer=str, uuid=str)["answer"])
        return self._progress(rater)

    def _heartbeat(self, rater: Rater, said: dict) -> dict:
        self._counter.heartbeat(rater.name, fields(said, question=int)["question"])
        return {}

    def _decline(self, rater: Rater, said: dict, outcome: str) -> dict:
        said = fields(said, question=int, uuid=str, seconds=(int, float))
        self._counter.skip(rater.name, said["question"], said["uuid"], said["seconds"], outcome)
        return self._progress(rater)

    def _film(self, request: Request) -> bytes:
        question, side = (_number(request.path_params[name]) for name in ("question", "side"))
        self._check_sees(request, question)
        film = self._films.film(question, side)
        if film is None or not film.webp:
            raise Refused(404, "there is no such film")
        return film.webp

    def _progress(self, rater: Rater) -> dict:
        today, seconds_each = self._counter.today(rater.name)
        return {"today": today, "seconds_each": seconds_each}

    def _check_sees(self, request: Request, question: int) -> None:
        try:
            self.doors.owner(request)
        except Refused:
            rater = self.doors.rater(request)
            if self._films.is_shown_to(rater.name, question):
                return
            if question not in {one.question for one in Examples(self.queue).at_ends().values()}:
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


def _number(text: str) -> int:
    """Of a path. Raises Refused 404 for what is none, or is larger than any that SQLite has given."""
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise Refused(404, "there is no such film")
    return int(text)


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


def _waiting(title: str, text: str, seconds: int) -> dict:
    return {"title": title, "waiting": text, "again_seconds": seconds}
