"""A film shows the frames that it was given, in the colours that they had, and is never large."""

import io

import numpy as np
import pytest
from PIL import Image

from tandem.training.reports.films.archive import MOST_KEPT, distance, keep
from tandem.training.reports.films.gif import Film, gif


def moving(count: int, noise: int = 0) -> list[Image.Image]:
    """A white square on its way through a grey field, in noise where one is asked for."""
    draws = np.random.default_rng(0)
    frames = []
    for step in range(count):
        pixels = draws.integers(100 - noise, 101 + noise, (24, 96, 3)).astype(np.uint8)
        pixels[8:16, 2 * step : 2 * step + 8] = 255
        frames.append(Image.fromarray(pixels))
    return frames


def decoded(film: Film) -> tuple[list[np.ndarray], list[int]]:
    with Image.open(io.BytesIO(film.data)) as image:
        assert image.format == "GIF" and image.size == (film.width, film.height)
        frames, durations = [], []
        for index in range(image.n_frames):
            image.seek(index)
            frames.append(np.asarray(image.convert("RGB")))
            durations.append(image.info["duration"])
        return frames, durations


def test_a_film_decodes_to_its_frames():
    frames = moving(20)
    shown, durations = decoded(gif(frames, 12.5))
    assert len(shown) == 20 and durations == [80] * 19 + [1000]
    for was, now in zip(frames, shown, strict=True):
        assert np.abs(np.asarray(was).astype(int) - now).max() <= 6  # how far a pixel may go and still be left as it is


def test_a_colour_of_ours_stays_itself_in_a_film_of_many_others():
    frames = moving(3, noise=90)
    for frame in frames:
        frame.paste("#D55E00", (0, 0, 2, 1))
        frame.paste("#FFFFFF", (2, 0, 4, 1))
        frame.paste("#FCFCFC", (4, 0, 90, 1))
    shown, _ = decoded(gif(frames, 10))
    assert [one[0, [0, 2]].tolist() for one in shown] == [[[0xD5, 0x5E, 0x00], [255, 255, 255]]] * 3


def test_a_film_that_would_be_large_has_fewer_frames_and_lasts_as_long():
    frames = moving(33, noise=90)
    whole, small = gif(frames, 20), gif(frames, 20, most=30_000)
    assert len(small.data) <= 30_000 < len(whole.data)
    shown, durations = decoded(small)
    # Halves of 33 frames, the last one always with them: 17, 9; each stays twice as long as before, 50, 100, 200 ms.
    assert (len(shown), durations[0]) in ((17, 100), (9, 200))
    assert np.abs(shown[-1][12, 64:72].astype(int) - 255).max() <= 6  # the square has arrived


def test_a_film_keeps_a_few_frames_whatever_their_size():
    shown, _ = decoded(gif(moving(10, noise=90), 20, most=1))
    assert len(shown) == 10


def test_of_many_films_some_of_all_phases_stay(tmp_path):
    for phase in range(40):
        keep(Film(b"GIF", 1, 1), tmp_path, "eval_film", phase)
    (tmp_path / "eval_film-mine.gif").touch()
    keep(Film(b"GIF", 1, 1), tmp_path, "eval_film", 40)
    there = sorted(path.name for path in tmp_path.iterdir())
    # Of 0 .. 39 every second would be 20, every fourth is 10.
    assert there == [*(f"eval_film-{phase:03d}.gif" for phase in range(0, 41, 4)), "eval_film-mine.gif"]


@pytest.mark.parametrize(("phase", "apart"), [(0, 1), (16, 1), (17, 2), (32, 2), (33, 4), (500, 32)])
def test_there_are_never_many_films_before_a_phase(phase, apart):
    assert distance(phase) == apart and len(range(0, phase, apart)) <= MOST_KEPT
