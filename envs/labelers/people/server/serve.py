"""`tandem label serve RUN`: one server a run, and beside it the process that draws."""

import socket
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from .....errors import UserError
from ....sights.darkroom import refusal, start
from ..queue import FILE, Queue
from ..raters import Raters, login_address
from ..serving import held
from .app import make_app
from .drawing import drawing
from .guards import Hosts
from .protocol import Protocol

PORT = 8600
TRIED = 20  # ports from PORT on, where none is asked for
SAVED_AS = "config.yaml"
MOST_CONNECTIONS = 500  # at a time: twenty raters' browsers have some six each
EXPOSED = (
    "warning: anybody who can reach this machine can reach the page, and without https anybody on the way can read the "
    "tokens: an ssh tunnel is safer (docs/people.md)"
)


def serve(run: Path, port: int | None, expose: str | None, order: Callable[[], dict[str, Any]]) -> None:
    """Serve the run's questions until a signal. expose: to other machines, by this name or, if empty, the machine's own.
    order: what the darkroom is told.

    UserError where another process serves the run, it asks nobody, or the port is taken. QueueRefused of a queue that is
    another run's.
    """
    is_exposed = expose is not None
    if not (run / SAVED_AS).is_file():
        raise UserError(f"{run}: is no run's folder, it has no {SAVED_AS}")
    told = {} if (run / FILE).exists() else _first_order(order)
    with held(run) as lock, Queue.create(run) as queue, closing(bound(is_exposed, port)) as listener:
        own = listener.getsockname()[1]
        names = (expose, socket.gethostname(), socket.getfqdn()) if is_exposed else ()
        app = make_app(queue, own, Hosts(is_exposed, frozenset(name.lower() for name in names if name)))
        address = f"http://{expose or socket.gethostname() if is_exposed else '127.0.0.1'}:{own}"
        lock.write(address)
        lock.flush()
        queue.set_meta(address=address)
        _greet(run, queue, address, is_exposed)
        told = told or order()  # which takes seconds: after the greeting
        with drawing(lambda why: start(run, refusal(why) if why else told)):
            _run(app, listener)
    print("the server has ended; what was said is kept", flush=True)


def _first_order(order: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Of a run that has asked nobody yet. UserError where it never will, or where its settings cannot be read."""
    told = order()
    if "why" in told:
        raise UserError(told["why"])
    return told


def _greet(run: Path, queue: Queue, address: str, is_exposed: bool) -> None:
    raters = Raters(queue)
    if is_exposed:
        print(EXPOSED, file=sys.stderr)
    print(f"owner: {login_address(address, raters.owner())}", flush=True)
    number = sum(not rater.is_owner for rater in raters.all())
    add = f"tandem label add {run} NAME"
    print(f"raters: {number or 'none yet'}; add one on the owner's page or with: {add}", flush=True)


def _run(app: ASGIApp, listener: socket.socket) -> None:
    with suppress(KeyboardInterrupt):  # the signal that ended it, told again
        uvicorn.Server(settings(app)).run(sockets=[listener])


def settings(app: ASGIApp) -> uvicorn.Config:
    """How it is served: who opens connections and says nothing, or says it slowly, does not keep the others out."""
    return uvicorn.Config(
        app,
        http=Protocol,
        log_level="warning",
        access_log=False,  # addresses hold tokens
        lifespan="off",
        ws="none",
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=75,  # people think for longer than five seconds
        timeout_graceful_shutdown=3,
    )


def bound(is_exposed: bool, port: int | None) -> socket.socket:
    """A socket that listens, on this machine's loopback alone or for everybody.

    port None: PORT, or the first free one after it. UserError where a port cannot be had.
    """
    if port is not None and not 0 <= port < 2**16:
        raise UserError(f"--port: must be from 0 to {2**16 - 1}, got {port}")
    last = OSError()
    for one in range(PORT, PORT + TRIED) if port is None else (port,):
        # asyncio turns the wait for full packets off only where the protocol is named
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("0.0.0.0" if is_exposed else "127.0.0.1", one))
            listener.listen(128)
            return listener
        except OSError as error:
            listener.close()
            last = error
    tried = f"{PORT} to {PORT + TRIED - 1}" if port is None else str(port)
    raise UserError(f"--port: {tried} cannot be had ({last.strerror}), name another one")
