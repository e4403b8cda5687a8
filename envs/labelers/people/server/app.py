"""The server as an ASGI application: pages, the raters' verbs, the owner's, all behind the guard."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ..queue import Queue
from ..raters import Raters
from ..schema import QueueRefused
from .bodies import Refused, answered, tell_queue_refused, tell_refused
from .doors import Doors
from .guards import Guard, Hosts
from .owning import Owning
from .pages import read_pages
from .rating import Rating

PAGES = ("label", "owner", "gallery")


def make_app(queue: Queue, port: int, hosts: Hosts) -> ASGIApp:
    """port: where it listens, for the names of its cookies."""
    doors = Doors(Raters(queue), port)
    files = read_pages()

    async def enter(request: Request) -> Response:
        return await answered(doors.enter, request)

    async def page(request: Request) -> Response:
        return _file(files[f"{request.url.path.strip('/')}.html"])

    async def static(request: Request) -> Response:
        name = request.path_params["name"]  # a name that was read at the start, and never a path
        if name not in files or name.endswith(".html"):
            raise Refused(404, "there is no such file")
        return _file(files[name])

    routes = [Route("/", enter), *(Route(f"/{name}", page) for name in PAGES), Route("/static/{name}", static)]
    handlers = {Refused: tell_refused, QueueRefused: tell_queue_refused}
    app = Starlette(
        routes=[*routes, *Rating(queue, doors).routes, *Owning(queue, doors).routes], exception_handlers=handlers
    )
    return Guard(app, hosts)


def _file(content: tuple[bytes, str]) -> Response:
    body, media_type = content
    return Response(body, media_type=media_type)
