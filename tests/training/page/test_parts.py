"""What the page is made of: markup that escapes, numbers as a person reads them, scales, sentences, films that fit."""

import io
import math
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tandem.training.page import pictures, sentences
from tandem.training.page.markup import LONGEST, Markup, tag, text
from tandem.training.page.numbers import NONE, digits, lasted, moment, plural, short
from tandem.training.page.plot import BOTTOM, LEFT, RIGHT, TOP, Plot, Scale, legend
from tandem.training.page.sources import read_warnings
from tandem.training.reading.run_files import Evaluated

DECISION = {
    "phase": 3,
    "inputs": {"transitions": 1_000, "labels": 1, "measured": {"explained_variance": 0.45}},
    "outputs": {
        "transitions": 500,
        "labels": 25,
        "money_micro": 750_000_000,
        "label_spend_share": 1 / 3,
        "note": "",
        "offer": None,
        "facts": {
            "gap_now": 67.4,
            "gap_after": 64.5,
            "gain_dynamics": 0.00495,
            "gain_reward": 0.00552,
            "label_share": 0.61,
        },
    },
}


def test_what_is_no_markup_is_text():
    assert tag("p", "a < b & c", Markup("<b>d</b>"), None, class_="x", title='say "no"') == (
        '<p class="x" title="say &quot;no&quot;">a &lt; b &amp; c<b>d</b></p>'
    )
    assert tag("img", src="a'b") == '<img src="a&#x27;b">'
    assert text("a\u202eb\x00c") == "a\ufffdb\ufffdc" and len(text("x" * 10_000)) < LONGEST + 50


def test_numbers_are_told_as_a_person_reads_them():
    assert [digits(one) for one in (0.012345, 12.345, 1234.5, -3.0, math.nan, None)] == [
        *("0.0123", "12.3", "1,234", "\N{MINUS SIGN}3", NONE, NONE)
    ]
    assert [short(one) for one in (0, 500, 12_000, -1_500_000, 0.02)] == [
        "0",
        "500",
        "12k",
        "\N{MINUS SIGN}1.5M",
        "0.02",
    ]
    assert [lasted(one) for one in (40 / 3600, 0.2, 3.0833)] == ["40 s", "12 min", "3 h 05 min"]
    assert [plural(1, "label"), plural(2_000, "label"), plural(None, "label")] == [
        "1 label",
        "2,000 labels",
        f"{NONE} labels",
    ]
    assert [moment(0), moment(math.inf), moment(1e30), moment("x")] == ["1970-01-01 00:00", NONE, NONE, NONE]


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (Scale(0, 1_000, 0, 1), [0, 200, 400, 600, 800, 1_000]),
        (Scale(-0.6, 2.6, 0, 1, least_step=1.0), [0, 1, 2]),
        (Scale(10, 100_000, 0, 1, is_log=True), [10, 100, 1_000, 10_000, 100_000]),
        (Scale(24, 340, 0, 1, is_log=True), [30, 100, 300]),
        (Scale(70, 210, 0, 1, is_log=True), [70, 80, 90, 100, 200]),
    ],
)
def test_ticks_are_round_numbers_inside_the_scale(scale, expected):
    assert scale.ticks() == pytest.approx(expected)


def test_a_point_is_drawn_where_it_lies_and_what_cannot_be_shown_is_left_out():
    plot = Plot(Scale(0, 10, LEFT, RIGHT), Scale(1, 100, BOTTOM, TOP, is_log=True), "x", "y")
    drawn = plot.line([(0, 1), (5, 10), (10, 100), (3, -1), (math.nan, 5)], "truth")
    assert f'points="{LEFT}.0,{BOTTOM}.0 {(LEFT + RIGHT) / 2},{(TOP + BOTTOM) / 2} {RIGHT}.0,{TOP}.0"' in drawn
    assert (
        plot.dots([(1, 0.0)], "truth", ["nothing"]) == ""
        and plot.dots([(1, 5.0)], "truth", ["<five>"]).count("&lt;five&gt;") == 1
    )
    assert "a&lt;b" in plot.figure(drawn, key=legend(truth="a<b"))


def test_a_plan_is_told_in_sentences():
    assert sentences.plan(DECISION) == (
        "It held 1,000 transitions and 1 label, and planned to buy 500 transitions and 25 labels more for 750 coins: 33% on labels. "
        "Both errors together were thought to cost 67.4 of the return, and 64.5 after the phase. "
        "Of that the next coin takes 0.00495 if it buys transitions and 0.00552 if it buys labels: labels bring more. "
        "In the end 61% of all spend is to have gone to labels."
    )
    assert sentences.known(DECISION) == ""  # no law was known
    assert "falls with the power 0.3 of its data (90 %: 0.2 to 0.5)" in sentences.known(
        {"outputs": {"facts": {"exponent_reward": 0.3, "exponent_reward_low": 0.2, "exponent_reward_high": 0.5}}}
    )
    assert "error falls with the power 0.4 of transitions too" in sentences.known(
        {"outputs": {"facts": {"exponent_latents": 0.4}}}
    )
    assert sentences.plan({"outputs": {"facts": "none", "money_micro": "much"}}).startswith(
        f"It held {NONE} transitions"
    )


@pytest.mark.parametrize(
    ("returns", "best"),
    [((1.0, 3.0, math.nan), "3.0"), ((math.nan, 3.0, 2.0), "3.0"), ((3.0, 1.0, 3.0), None), ((math.nan,), None)],
)
def test_the_best_return_is_told_where_it_is_not_the_latest(returns, best):
    evaluations = [Evaluated(phase, 10, 10.0 + phase, 5, 1, 1, 0.1, one, one) for phase, one in enumerate(returns)]
    said = sentences.outcome(SimpleNamespace(evaluations=evaluations))
    assert said.partition(" The best so far ")[2] == (f"was {best}, at 11 coins." if best else "")


def gif(number: int, size: tuple[int, int]) -> bytes:
    rng, file = np.random.default_rng(0), io.BytesIO()
    frames = [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for _ in range(number)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=50)
    return file.getvalue()


def test_a_film_is_made_to_fit_and_what_is_none_is_passed_over(tmp_path, monkeypatch):
    large = gif(12, (60, 60))
    monkeypatch.setattr(pictures, "FILM_BYTES", len(large) // 3)
    for phase, data in ((0, gif(2, (16, 16))), (3, large), (4, b"<html>GIF89a"), (5, b"")):
        (tmp_path / f"eval_film-{phase:03d}.gif").write_bytes(data)
    (first, small), (last, shrunk) = pictures.films(tmp_path, "eval_film", "a film", is_first_shown=True)
    assert (first, last) == (0, 3) and len(small) < len(shrunk) < 1.4 * len(large) // 3
    assert pictures.films(tmp_path, "eval_film", "a film", is_first_shown=False) == [(last, shrunk)]
    assert pictures.films(tmp_path / "none", "eval_film", "a film", is_first_shown=True) == []


def test_a_picture_that_is_none_or_as_large_as_no_picture_of_ours_is_left_out(tmp_path):
    assert pictures.picture(tmp_path / "a.png", "a") is None
    (tmp_path / "a.png").write_bytes(b"<svg onload=alert(1)>")
    assert pictures.picture(tmp_path / "a.png", "a") is None
    head = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = (head, b"IDAT", b"IEND")
    packed = (struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks)
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    assert pictures.picture(tmp_path / "bomb.png", "a") is None
    Image.new("RGB", (30, 30)).save(tmp_path / "b.png")
    assert pictures.picture(tmp_path / "b.png", 'a "b"').startswith('<img src="data:image/png;base64,')


def test_warnings_of_the_same_words_count_once(tmp_path):
    lines = ["04:00:00Z warning: one", "04:01:00Z done", "04:02:00Z warning: two", "05:00:00Z warning: one"]
    (tmp_path / "console.log").write_text("".join(f"2026-11-27T{line}\n" for line in lines) + "warning: no time\n")
    one, two = read_warnings(tmp_path / "console.log")
    assert (one.words, one.number, one.last - one.first, two.words) == ("one", 2, 3_600, "two")
