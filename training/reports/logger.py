"""What a person and a machine can read of a run: the terminal, console.log, metrics.jsonl, TensorBoard, report/*.png."""

import io
import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ...budget.money import coins_shown
from ...durable import sync, whole_file
from ...outside import is_class
from .films.archive import keep
from .films.gif import Film
from .films.studio import Occasion
from .sinks.board import Board
from .sinks.own import Sinks
from .sinks.told import ToldSettings

DPI = 150  # of figures
SPEED_WINDOW = 30  # progress lines that the speed and the time left are taken over
LEAST_MARKS = 4  # progress lines with updates, before which the speed says nothing of the time left


@dataclass(frozen=True)
class LogConfig:
    every_seconds: float = 10.0  # between two terminal lines
    every_updates: int = 50  # between two rows of training scalars, which are means over the updates between them
    figures: bool = True  # pictures in TensorBoard and in the run's report/ folder, and at the end report/run.html
    films: bool = (
        True  # with figures: a phase's first evaluated episode, and dreams of images, as films (docs/films.md)
    )
    sinks: tuple[str, ...] = ()  # module:Class of your own, each gets every row of metrics.jsonl

    def __post_init__(self) -> None:
        if not self.every_seconds > 0:
            raise ValueError(f"every_seconds: must be positive, got {self.every_seconds}")
        if self.every_updates < 1:
            raise ValueError(f"every_updates: must be at least 1, got {self.every_updates}")
        for name in self.sinks:
            if not is_class(name):
                raise ValueError(f"sinks: must be a list of module:Class of your own, got {name!r}")
            if self.sinks.count(name) > 1:
                raise ValueError(f"sinks: {name} is named twice")


@dataclass(frozen=True)
class ProgressLine:
    """Where a run stands. `step` is environment steps over all streams, money is in coins."""

    phase: int  # 0 is the pilot
    phases: int
    step: int
    transitions: int
    labels: int
    spent: float
    total: float
    updates: int
    updates_in_all: int | None = (
        None  # in the whole run; None where train.ratio rules: it depends on what will be bought
    )
    episode_return: float | None = None  # the latest evaluation's mean, None before the first


class Logger:
    """Writes into `run_dir`; a run that is resumed is appended to. `clock` gives seconds (tests bring their own)."""

    def __init__(
        self,
        run_dir: Path,
        config: LogConfig,
        clock: Callable[[], float] = time.time,
        purge_step: int | None = None,
        settings: ToldSettings | None = None,
    ):
        """purge_step: what TensorBoard shows from this step on is of a life that ended without a checkpoint. settings: of the run."""
        run_dir = Path(run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        self._config, self._clock, self._report = config, clock, run_dir / "report"
        self._metrics, self._console = run_dir / "metrics.jsonl", run_dir / "console.log"
        _drop_partial_line(self._metrics)
        self._num_rows = self._count_rows()
        self._board = Board(run_dir, purge_step)
        if settings is not None:
            self._board.settings(settings.text, settings.chosen)
        plain = settings.plain if settings is not None else {}
        self._sinks = Sinks(config.sinks, run_dir, plain, self._num_rows, purge_step is not None, self.line, self.aside)
        self._sums: dict[str, torch.Tensor | float] = {}
        self._counts: dict[str, int] = {}
        self._speed = Speed()
        self._last_progress = -math.inf

    def line(self, text: str) -> None:
        """Say `text` on the terminal and in console.log."""
        print(text, flush=True)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))
        _append(self._console, f"{stamp} {text}\n")

    def aside(self, text: str) -> None:
        """Into console.log alone: what a person looks up after a warning."""
        _append(self._console, text)

    @property
    def has_figures(self) -> bool:
        return self._config.figures

    @property
    def every_updates(self) -> int:
        return self._config.every_updates

    def is_due(self) -> bool:
        """Whether every_seconds have passed since the last progress line."""
        return self._clock() - self._last_progress >= self._config.every_seconds

    def progress(self, now: ProgressLine) -> None:
        """Write the terminal line. The caller asks is_due() first, or writes one out of turn at the end of a phase."""
        self._last_progress = self._clock()
        self._speed.add(self._last_progress, now)
        self.line(progress_line(now, self._speed))

    def scalars(self, step: int, values: Mapping[str, float | torch.Tensor]) -> None:
        """Write one row of metrics.jsonl, and the same to TensorBoard and to sinks. A value that is no number is null in JSON."""
        numbers = _to_floats(dict(values))
        row = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
        now = round(self._clock(), 3)
        row = {"step": int(step), "time": now} | row
        _append(self._metrics, json.dumps(row, allow_nan=False) + "\n")
        self._num_rows += 1
        self._board.scalars(numbers, step, now)
        self._sinks.write(row, self._num_rows)

    def text(self, name: str, text: str, step: int) -> None:
        """For TensorBoard alone."""
        self._board.text(name, text, step)

    def finished(self) -> None:
        """The run is over."""
        self._board.finished()

    def add(self, values: Mapping[str, float | torch.Tensor]) -> None:
        """Take one update's metrics into the means that the next flush writes. Waits for no device.

        Tensors hold one number each and are read now, so a captured graph may write over them afterwards.
        """
        for key, value in values.items():
            number = value.detach().float() if isinstance(value, torch.Tensor) else float(value)
            # After a resume a sum lies in main memory until the next row. + 0.0 is a copy.
            before = self._sums.get(key, 0.0)
            if isinstance(before, torch.Tensor) and isinstance(number, torch.Tensor):
                before = before.to(number.device)
            self._sums[key] = before + number
            self._counts[key] = self._counts.get(key, 0) + 1

    def flush(self, step: int) -> dict[str, float]:
        """Write the means of what was added since the last flush, and return them. One host synchronisation."""
        sums = _to_floats(self._sums)
        means = {key: total / self._counts[key] for key, total in sums.items()}
        self._sums, self._counts = {}, {}
        if means:
            self.scalars(step, means)
        return means

    def figure(self, name: str, figure: Figure, step: int) -> None:
        """Put a figure into TensorBoard and, replacing the one before, into report/<name>.png."""
        if not self._config.figures:
            return
        figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # once for both: to lay a figure out and draw it is most of what it costs
        file = io.BytesIO()
        Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(file, "png", dpi=(DPI, DPI))
        self._board.picture(name, file.getvalue(), canvas.get_width_height(), step)
        self._report.mkdir(exist_ok=True)
        with whole_file(self._report / f"{name.replace('/', '_')}.png") as picture:
            picture.write(file.getvalue())

    def film(self, name: str, film: Film, occasion: Occasion) -> None:
        """Put a film into TensorBoard, as an image that moves, and into report/films/<name>-<phase>.gif."""
        self._board.film(name, film, occasion.step)
        keep(film, self._report / "films", name.replace("/", "_"), occasion.phase)

    def sync(self) -> None:
        """What metrics.jsonl holds is on disk when this returns: a checkpoint says how much that is."""
        with open(self._metrics, "ab") as file:
            sync(file)

    def state_dict(self) -> dict:
        """The means under way, and how much of metrics.jsonl there is."""
        sums = {key: torch.as_tensor(value, dtype=torch.float32) for key, value in self._sums.items()}
        size = self._metrics.stat().st_size if self._metrics.exists() else 0
        return {"sums": sums, "counts": dict(self._counts), "metrics_bytes": size}

    def load_state_dict(self, state: dict) -> None:
        """Rows after the checkpoint are cut off: they come again. ValueError where it knows other things."""
        if state.keys() != {"sums", "counts", "metrics_bytes"}:
            raise ValueError(f"logger: the checkpoint holds {sorted(state)}, expected counts, metrics_bytes, sums")
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])
        self.cut(state["metrics_bytes"])

    def cut(self, size: int) -> None:
        """Leave the first `size` bytes of metrics.jsonl."""
        if self._metrics.exists() and self._metrics.stat().st_size > size:
            self._sinks.cut(self._num_rows)
            os.truncate(self._metrics, size)
            self._num_rows = self._count_rows()
        self._board.restore(self._rows())

    def _count_rows(self) -> int:
        return self._metrics.read_bytes().count(b"\n") if self._metrics.exists() else 0

    def _rows(self) -> Iterator[dict]:
        """Of metrics.jsonl; what is damaged there is passed over."""
        for line in self._metrics.read_bytes().splitlines() if self._metrics.exists() else ():
            with suppress(ValueError):
                if isinstance(row := json.loads(line), dict):
                    yield row

    def close(self) -> None:
        self._sinks.close()
        self._board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Speed:
    """Updates per second, and seconds left, over the last lines of a run that learns: its start tells nothing of the rest.

    Updates are what takes time: before the first one money is spent many times faster than ever after.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[float, ProgressLine]] = deque(maxlen=SPEED_WINDOW)  # seconds; with updates alone

    def add(self, seconds: float, now: ProgressLine) -> None:
        if now.updates:
            self._marks.append((seconds, now))

    def updates_per_second(self) -> float | None:
        return self._rate(lambda line: line.updates)

    def seconds_left(self) -> float | None:
        """None until it is known. Without a number of updates to come, their time goes with the coins to come."""
        if len(self._marks) < LEAST_MARKS:
            return None
        _, now = self._marks[-1]
        if now.updates_in_all is None:
            left, rate = now.total - now.spent, self._rate(lambda line: line.spent)
        else:
            left, rate = now.updates_in_all - now.updates, self.updates_per_second()
        return max(0.0, left) / rate if rate else None

    def _rate(self, counted: Callable[[ProgressLine], float]) -> float | None:
        if len(self._marks) < 2 or self._marks[-1][0] <= self._marks[0][0]:
            return None
        (start, first), (end, last) = self._marks[0], self._marks[-1]
        return (counted(last) - counted(first)) / (end - start)


def progress_line(now: ProgressLine, speed: Speed) -> str:
    """One line, in the order in which a person asks: how far, what was bought, is it learning, how long still."""
    rate, left = speed.updates_per_second(), speed.seconds_left()
    parts = [
        "pilot" if now.phase == 0 else f"phase {now.phase}/{now.phases}",
        f"step {now.step:,}",
        f"{now.transitions:,} transitions + {now.labels:,} labels",
        f"{coins_shown(now.spent)} of {coins_shown(now.total)} coins, {coins_shown(max(0.0, now.total - now.spent))} left",
        "return -" if now.episode_return is None else f"return {now.episode_return:.1f}",
        f"update {now.updates:,}" + ("" if rate is None else f" ({rate:.2f}/s)"),
        "time left -" if left is None else f"time left {duration(left)}",
    ]
    return " | ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45s, 12m 30s, 3h 05m."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest}s"
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"


def _to_floats(values: dict[str, float | torch.Tensor]) -> dict[str, float]:
    """Numbers as Python floats in the given order; the tensors of each device cross to the host in one copy."""
    by_device: dict[torch.device, dict[str, torch.Tensor]] = {}
    for key, value in values.items():
        if isinstance(value, torch.Tensor):
            assert value.numel() == 1, f"{key}: one number is logged, got shape {tuple(value.shape)}"
            by_device.setdefault(value.device, {})[key] = value
    on_host: dict[str, float] = {}
    for tensors in by_device.values():
        stacked = torch.stack([value.detach().float().reshape(()) for value in tensors.values()])
        on_host.update(zip(tensors, stacked.tolist(), strict=True))
    return {key: on_host[key] if key in on_host else float(value) for key, value in values.items()}


def _append(path: Path, text: str) -> None:
    with open(path, "a") as file:
        file.write(text)


def _drop_partial_line(path: Path) -> None:
    """Cut what a killed run left of a last row, so that the next row starts on a line of its own."""
    if not path.exists():
        return
    with open(path, "rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
