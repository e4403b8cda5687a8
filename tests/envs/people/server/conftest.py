"""A run whose questions wait for people, its server without a network and at a real port, and a browser without a screen."""

import base64
import io
import itertools
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image, ImageDraw
from starlette.testclient import TestClient
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tandem.envs.labelers.base import LabelerConfig
from tandem.envs.labelers.people.films import Film, Films
from tandem.envs.labelers.people.people import People
from tandem.envs.labelers.people.raters import Raters
from tandem.envs.labelers.people.server.app import make_app
from tandem.envs.labelers.people.server.guards import Hosts
from tandem.envs.labelers.people.server.serve import bound, settings
from tandem.envs.records import Clip, Question

HOME = "http://127.0.0.1:8600"
ROWS, CONTEXT, SIDE = 8, 3, 64  # of a clip's film


class Clock:
    """Seconds since the epoch, as the test says."""

    def __init__(self):
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


class Site:
    """A run in a folder: the trainer's side, raters, and clients that log in as one of them."""

    def __init__(self, folder: Path, kind: str = "clip", now: Callable[[], float] | None = None):
        self.clock = now or Clock()
        self.people = People(folder, LabelerConfig(name="people", kind=kind), 1_000_000, self.clock)  # type: ignore[arg-type]
        self.kind, self.queue = kind, self.people.queue
        self.raters, self.tokens = Raters(self.queue), {}
        self.tokens["owner"] = self.raters.owner()

    def ask(self, number: int, first: int = 0) -> None:
        """Ask questions, and draw them."""
        right = (lambda one: Clip(1, one, ROWS)) if self.kind == "pair" else (lambda one: None)
        asked = [
            Question(f"q{one}", Clip(0, one, ROWS), kind=self.kind, right=right(one))  # type: ignore[arg-type]
            for one in range(first, first + number)
        ]
        self.people.submit(asked)
        films = Films(self.queue)
        for one in films.undrawn(first + number):
            films.put(one, [strip(one + side) for side in range(2 if self.kind == "pair" else 1)])

    def add(self, name: str) -> str:
        self.tokens[name] = self.raters.add(name, 12.0)
        return self.tokens[name]

    def client(self, name: str = "") -> TestClient:
        """Somebody who has logged in, or a stranger."""
        client = TestClient(make_app(self.queue, 8600, Hosts()), base_url=HOME, follow_redirects=False)
        if name:
            assert client.get("/", params={"token": self.tokens[name]}).status_code == 303
        return client


def strip(number: int) -> Film:
    """A dot that goes round: a film strip of CONTEXT + ROWS frames."""
    frames, columns = CONTEXT + ROWS, 4
    grid = Image.new("RGB", (columns * SIDE, -(-frames // columns) * SIDE), "white")
    pen = ImageDraw.Draw(grid)
    for frame in range(frames):
        x, y = frame % columns * SIDE + 5 * frame, frame // columns * SIDE + 10 + number % 40
        pen.ellipse((x, y, x + 8, y + 8), fill="black")
    file = io.BytesIO()
    grid.save(file, "webp")
    facts = {"frames": frames, "columns": columns, "width": SIDE, "height": SIDE, "fps": 12, "context": CONTEXT}
    return Film(file.getvalue(), facts)


@pytest.fixture
def site(tmp_path) -> Iterator[Site]:
    """Six clips to score; ann and bob."""
    one = Site(tmp_path)
    one.add("ann"), one.add("bob"), one.ask(6)
    yield one
    one.people.close()


@pytest.fixture
def listening() -> Iterator[Callable[[Site], str]]:
    """listening(site) -> the address where it is served until the test's end."""
    servers = []

    def begin(site: Site) -> str:
        listener = bound(False, 0)
        port = listener.getsockname()[1]
        server = uvicorn.Server(settings(make_app(site.queue, port, Hosts())))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{port}"

    yield begin
    for server, thread in servers:
        server.should_exit = True
        thread.join()


@pytest.fixture
def new_site(tmp_path) -> Iterator[Callable[..., Site]]:
    """new_site(kind) -> a run with two questions for ann; its clock is the true one."""
    made = []

    def make(kind: str) -> Site:
        made.append(Site(tmp_path, kind, time.time))
        made[0].add("ann"), made[0].ask(2)
        return made[0]

    yield make
    for site in made:
        site.people.close()


PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
)
PATIENCE = 20.0  # seconds for anything that is waited for
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Enter": 13, " ": 32, "Tab": 9}


class Chromium:
    """The browser; each page that it opens is a person of their own, with their own cookies and their own storage."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        command = [PROGRAM, *FLAGS, f"--user-data-dir={self._folder.name}", "--remote-debugging-port=0", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        told = Path(self._folder.name) / "DevToolsActivePort"
        until(lambda: told.exists() and len(told.read_text().split()) == 2, "chromium to start")
        port, path = told.read_text().split()
        self._open = ExitStack()
        address = f"ws://127.0.0.1:{port}{path}"
        self._socket = self._open.enter_context(
            connect(address, max_size=None, compression=None, proxy=None, ping_interval=None)
        )
        self._numbers = itertools.count(1)

    def page(self) -> "Page":
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session)

    def call(self, method: str, session: str | None = None, **params: Any) -> dict:
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": params}
        self._socket.send(json.dumps(asked | ({"sessionId": session} if session else {})))
        while True:
            said = json.loads(self._socket.recv(timeout=PATIENCE))
            if said.get("id") == number:
                assert "error" not in said, f"{method}: {said['error']}"
                return said["result"]

    def close(self) -> None:
        """It is gone then, also where it no longer answers."""
        self._open.callback(self._folder.cleanup)
        self._open.callback(self._process.wait)
        self._open.callback(self._process.kill)
        with self._open, suppress(WebSocketException, TimeoutError, subprocess.TimeoutExpired):
            self.call("Browser.close")
            self._process.wait(timeout=PATIENCE)


class Page:
    def __init__(self, browser: Chromium, session: str):
        self._browser, self._session = browser, session
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict:
        return self._browser.call(method, self._session, **params)

    def go(self, address: str) -> None:
        assert not self.call("Page.navigate", url=address).get("errorText"), address

    def reload(self) -> None:
        self.run("window.isOld = true")
        self.call("Page.reload")
        self.wait("!window.isOld && document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, script: str) -> None:
        """Until an expression is true; what the page shows is told where it never is."""
        try:
            until(lambda: self.run(f"(() => {{ try {{ return {script} }} catch {{ return false }} }})()"), script)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the page says: {self.text()}") from error

    def until(self, is_so: Callable[[], Any], what: str) -> None:
        until(is_so, what)

    def text(self) -> str:
        return self.run("document.body?.innerText")

    def press(self, key: str) -> None:
        letter = {} if len(key) > 1 else {"text": key}
        code = {"windowsVirtualKeyCode": KEYS[key]} if key in KEYS else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **letter, **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **code)

    def connected(self, is_on: bool) -> None:
        """Pull the plug, or put it back."""
        self.call("Network.emulateNetworkConditions", offline=not is_on, latency=0, downloadThroughput=-1, uploadThroughput=-1)  # fmt: skip

    def size(self, width: int, height: int, scale: float = 1.0, is_phone: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=is_phone)  # fmt: skip

    def picture(self) -> bytes:
        """PNG of all of the page, what lies below the window too."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"])


def until(is_so: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE:g} s for {what}")
        time.sleep(0.03)


@pytest.fixture(scope="module")  # to keep its pages open for all other tests costs a tenth of a core
def chromium() -> Iterator[Chromium]:
    """Debian's, spoken to by the DevTools protocol; skips where there is none."""
    if PROGRAM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    browser = Chromium()
    yield browser
    browser.close()
