"""The owner's side of the server: figures, raters, what was said, and the levers."""

from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..exchange.forms import FORMS
from ..exchange.records import records
from ..films import Films
from ..overview import Overview, Shift
from ..pay import shortfall
from ..queue import Queue
from ..raters import Raters
from .bodies import Refused, answered, fields, read
from .doors import Doors
from .gallery import Exhibit, Gallery
from .rating import shown_film

LEAST_WAGE = 8.0  # coins an hour: below it people are paid less than crowd work's minimum, where a coin is a dollar
FILES = {
    "jsonl": ("jsonl", "application/x-ndjson"),
    "csv": ("csv", "text/csv"),
    "label_studio": ("json", "application/json"),
}  # form -> ending and type
SHOWN = 24  # clips of the gallery at a time


@dataclass(frozen=True)
class Owning:
    queue: Queue
    doors: Doors

    @property
    def routes(self) -> list[Route]:
        posts = {"pause": self.pause, "add": self.add, "retract": self.retract, "expire": self.expire}
        posts |= {"mark": self.mark}
        return [
            Route("/api/owner", self.overview),
            Route("/api/owner/gallery", self.gallery),
            Route("/api/owner/export/{form}", self.export),
            *(Route(f"/api/owner/{name}", act, methods=["POST"]) for name, act in posts.items()),
        ]

    async def overview(self, request: Request) -> JSONResponse:
        await answered(self.doors.owner, request)
        return JSONResponse(await answered(self._told))

    async def gallery(self, request: Request) -> JSONResponse:
        await answered(self.doors.owner, request)
        order, after = request.query_params.get("order", "residual"), request.query_params.get("after", "0")
        if order not in ("residual", "newest") or not (after.isdecimal() and len(after) < 10):
            raise Refused(400, "order: residual or newest; after: a number")
        total, exhibits = await answered(Gallery(self.queue).exhibits, order, int(after), SHOWN)
        return JSONResponse({"total": total, "clips": await answered(lambda: [self._shown(one) for one in exhibits])})

    async def export(self, request: Request) -> Response:
        """All questions and answers as a file; the form is one of those of `tandem label export`."""
        await answered(self.doors.owner, request)
        form = request.path_params["form"]
        if form not in FORMS:
            raise Refused(404, f"an export is one of {', '.join(FORMS)}")
        text = await answered(lambda: FORMS[form](records(self.queue)))
        ending, media_type = FILES[form]
        headers = {"content-disposition": f'attachment; filename="answers.{ending}"'}
        return Response(text, headers=headers, media_type=media_type)

    async def pause(self, request: Request) -> JSONResponse:
        await answered(self.doors.owner, request)
        said = fields({"rater": None, **await read(request)}, rater=(str, type(None)), is_paused=bool)
        await answered(self._raters.pause, said["rater"], said["is_paused"])
        return JSONResponse({})

    async def add(self, request: Request) -> JSONResponse:
        await answered(self.doors.owner, request)
        said = fields({"wage": None, **await read(request)}, name=str, wage=(int, float, type(None)))
        return JSONResponse(await answered(self._add, said["name"], said["wage"]))

    async def retract(self, request: Request) -> JSONResponse:
        await answered(self.doors.owner, request)
        said = fields(await read(request), rater=str)
        await answered(self._raters.retract, said["rater"])
        return JSONResponse({})

    async def expire(self, request: Request) -> JSONResponse:
        await answered(self.doors.owner, request)
        fields(await read(request))
        number = await answered(Overview(self.queue).expire)
        return JSONResponse({"note": f"{number} {'question has' if number == 1 else 'questions have'} expired."})

    async def mark(self, request: Request) -> JSONResponse:
        """The owner's own answer to a question, for practice and as gold; null takes it away."""
        await answered(self.doors.owner, request)
        said = fields(await read(request), question=int, verdict=(int, float, str, list, type(None)))
        await answered(Overview(self.queue).mark, said["question"], said["verdict"])
        return JSONResponse({})

    def _add(self, name: str, wage: float | None) -> dict:
        token = self._raters.add(name, wage)
        warning = shortfall(self.queue, self._raters.find(name).wage_micro)
        return {"name": name, "path": f"/?token={token}"} | ({"note": warning} if warning else {})

    def _told(self) -> dict:
        overview = Overview(self.queue)
        facts = self.queue.meta("facts", {})
        shifts = overview.shifts()
        is_training = self.queue.has_trainer()
        return {
            "task": self.queue.path.parent.resolve().name,
            "trainer": f"{facts.get('trainer') or 'The trainer is there.'}" if is_training else NO_TRAINER,
            "is_training": is_training,
            "is_paused": self.queue.meta("is_paused", False),
            "wage": self.queue.meta("wage_micro", 0) / 1e6,
            "least_wage": LEAST_WAGE,
            "figures": _figures(overview, shifts),
            "raters": [_rater(shift, facts.get("raters", {})) for shift in shifts],
        }

    def _shown(self, one: Exhibit) -> dict:
        films = [Films(self.queue).film(one.question, side) for side in range(one.sides)]
        shown = [shown_film(film, one.question, side) for side, film in enumerate(films) if film]
        return asdict(one) | {"films": shown}

    @property
    def _raters(self) -> Raters:
        return Raters(self.queue)


NO_TRAINER = "No trainer has been heard of in the last minute: answers are kept until `tandem train --resume` goes on."


def _figures(overview: Overview, shifts: list[Shift]) -> dict:
    counts = overview.counts()
    answers, skips = sum(shift.answers for shift in shifts), sum(shift.skips for shift in shifts)
    agreements = [shift.agreement for shift in shifts if shift.agreement is not None]
    return {
        "open": counts.get("queued", 0),
        "leased": counts["leased"],
        "oldest": overview.oldest_seconds() if counts.get("queued") else None,
        "answers_per_hour": overview.last_hour(),
        "coins_per_hour": overview.last_hour_coins(),
        "answered": answers,
        "coins": sum(shift.coins for shift in shifts),
        "skip_rate": skips / (answers + skips) if answers + skips else None,
        "agreement": sum(agreements) / len(agreements) if agreements else None,
    }


def _rater(shift: Shift, facts: dict) -> dict:
    rater = shift.rater
    asked = shift.answers + shift.skips
    known = facts.get(rater.name, {})
    return {
        "name": rater.name,
        "is_paused": rater.is_paused,
        "is_retracted": rater.is_retracted,
        "is_active": shift.is_active,
        "is_left": bool(known.get("is_left", False)),
        "answers": shift.answers,
        "today": shift.today,
        "seconds_each": shift.median_seconds,
        "wage": shift.wage,
        "coins": shift.coins,
        "owed": shift.owed,
        "skip_rate": shift.skips / asked if asked else None,
        "agreement": shift.agreement,
        "gold": shift.gold,
        "golds": shift.golds,
        "is_off_gold": shift.is_off_gold,
    } | {name: known.get(name) for name in ("sigma", "bias", "clean_per_coin")}
