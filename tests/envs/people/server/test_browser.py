"""A real browser at the rater's page: every answer counts once, whatever the network and the reload key do."""

import time

import pytest

from tandem.envs.labelers.people.exchange.imports import import_answers
from tandem.envs.labelers.people.exchange.records import Stranger

pytestmark = pytest.mark.slow
NEW = "document.querySelector('canvas').dataset.frame && !document.querySelector('canvas').dataset.old"
NEXT = f"({NEW}) || !document.querySelector('#room').hidden"


def log_in(chromium, address: str, site, name: str):
    page = chromium.page()
    page.go(f"{address}/?token={site.tokens[name]}")
    page.wait("document.querySelector('#help')?.open")
    assert page.run("location.href") == f"{address}/label"  # no token is left in the address
    page.run("document.querySelector('#close-help').click()")
    ready(page)
    return page


def ready(page) -> None:
    page.wait("document.querySelector('canvas')?.dataset.frame && !document.querySelector('#work').hidden")


def score(page, key: str) -> None:
    """Press a key, and wait for the next question."""
    page.run("document.querySelector('canvas').dataset.old = 'yes'")
    page.press(key)
    page.wait(NEXT)


def verdicts(site) -> list[tuple]:
    rows = site.queue.read("SELECT r.name, a.verdict FROM answer a JOIN rater r ON r.id = a.rater WHERE a.state = 'counted' ORDER BY a.id")  # fmt: skip
    return [tuple(row) for row in rows]


def num_answers(site) -> int:
    return site.queue.read("SELECT COUNT(*) FROM answer")[0][0]


def test_clips_are_scored_by_keys_undone_and_skipped(chromium, site, listening):
    site.clock.seconds += 1
    page = log_in(chromium, listening(site), site, "ann")
    score(page, "4")
    page.wait("document.querySelector('#tally').innerText.includes('1 today')")
    score(page, "1")
    page.wait("document.querySelector('#tally').innerText.includes('2 today')")
    page.press("z")
    page.wait("document.querySelector('#note').innerText.includes('Undone') && document.querySelector('#tally').innerText.includes('1 today')")  # fmt: skip
    ready(page)
    score(page, "5")
    score(page, "n")
    score(page, "x")
    page.wait("document.querySelector('#tally').innerText.includes('2 today') && document.querySelector('#tally').innerText.includes('saved')")  # fmt: skip
    assert verdicts(site) == [("ann", "0.75"), ("ann", "1.0")] and num_answers(site) == 3
    outcomes = site.queue.read("SELECT outcome, COUNT(*) FROM assignment WHERE outcome IS NOT NULL GROUP BY outcome")
    assert {row[0]: row[1] for row in outcomes} == {"answered": 2, "skipped": 1, "cannot_tell": 1}


def test_arrows_move_the_slider_and_enter_sends_it(chromium, site, listening):
    page = log_in(chromium, listening(site), site, "ann")
    ready(page)
    page.press("Enter")  # nobody has moved it: it says nothing
    for key in ("ArrowLeft", "ArrowLeft", "ArrowRight"):
        page.press(key)
    page.wait("document.querySelector('#slider-value').innerText === '2.8'")
    page.press("Enter")
    page.wait("document.querySelector('#tally').innerText.includes('1 today')")
    assert verdicts(site) == [("ann", "0.45")]


def test_the_film_stands_still_goes_frame_by_frame_and_is_dimmed_before_the_clip(chromium, site, listening):
    page = log_in(chromium, listening(site), site, "ann")
    page.press(" ")
    page.run("document.querySelector('#scrub').value = 0; document.querySelector('#scrub').oninput()")
    frame = "Number(document.querySelector('canvas').dataset.frame)"
    assert page.run(frame) == 0 and page.run("!document.querySelector('.before').hidden")
    for _ in range(3):
        page.press(".")
    assert page.run(frame) == 3 and page.run("document.querySelector('.before').hidden")  # three rows of context
    page.press(",")
    assert page.run(frame) == 2
    page.press(">")
    assert page.run("document.querySelector('#speed').innerText.slice(0, 1)") == "2"


def test_the_next_clip_plays_as_fast_as_the_button_says(chromium, site, listening):
    page = log_in(chromium, listening(site), site, "ann")
    for _ in range(2):
        page.press("<")
    assert page.run("document.querySelector('#speed').innerText.slice(0, 4)") == "0.25"
    score(page, "4")
    ready(page)
    assert page.run("document.querySelector('#speed').innerText.slice(0, 4)") == "0.25"
    # 12 frames a second: at a quarter of that a frame stands for 333 ms, at full speed for 83
    between = page.run("new Promise((told) => { const at = []; new MutationObserver(() => { at.push(performance.now()); if (at.length === 3) told(at[2] - at[1]); }).observe(document.querySelector('canvas'), { attributeFilter: ['data-frame'] }); })")  # fmt: skip
    assert between > 250


def test_an_example_of_an_end_is_seen_and_left_by_keys_and_nothing_is_answered_by_it(chromium, site, listening):
    site.ask(2, first=6)
    for name in ("cy", "di"):
        import_answers(site.queue, [Stranger("", "q0", name, 0.0, 1.0)])
    site.people.collect(), site.people.collect()
    page = log_in(chromium, listening(site), site, "ann")
    page.wait("!document.querySelector('#see-worst').hidden")
    assert page.run("document.querySelector('#see-best').hidden")  # nobody has agreed on one
    before = num_answers(site)
    page.press("b")  # so this is no key
    assert not page.run("document.querySelector('#example').open")
    page.press("w")
    page.wait("document.querySelector('#example').open && document.querySelector('#example-film').dataset.frame > 0")
    assert page.run("document.querySelector('#example-text').innerText") == "2 raters gave this 1.0 of 5 on average."
    page.press("3")  # not an answer to what lies behind
    page.press("Enter")
    page.wait("!document.querySelector('#example').open")
    page.run("document.querySelector('#see-worst').focus()")
    page.press("Enter"), page.run("document.querySelector('#see-worst').click()")
    page.wait("document.querySelector('#example').open")
    page.run("document.querySelector('#example-close').click()")
    assert not page.run("document.querySelector('#example').open") and num_answers(site) == before
    score(page, "2")
    page.wait("document.querySelector('#tally').innerText.includes('1 today')")


def test_two_raters_race_and_never_meet_at_one_question(chromium, site, listening):
    address = listening(site)
    pages = [log_in(chromium, address, site, name) for name in ("ann", "bob")]
    for _ in range(3):
        for page in pages:
            page.run("document.querySelector('canvas').dataset.old = 'yes'")
        for page in pages:
            page.press("3")
        for page in pages:
            page.wait(NEXT)
    pages[0].until(lambda: num_answers(site) == 6, "six answers")
    for page in pages:
        page.wait("document.querySelector('#room-title').innerText === 'Nothing to label just now'")
    rows = site.queue.read("SELECT COUNT(DISTINCT question), COUNT(DISTINCT rater), SUM(state = 'counted') FROM answer")
    assert tuple(rows[0]) == (6, 2, 6)


def test_without_a_network_an_answer_waits_in_the_browser_and_counts_once_when_it_is_back(chromium, site, listening):
    page = log_in(chromium, listening(site), site, "ann")
    page.connected(False)
    page.press("4")
    page.wait("document.querySelector('#tally').innerText.includes('1 not sent')")
    page.wait("document.body.innerText.includes('kept in this browser')")
    assert num_answers(site) == 0
    page.connected(True)
    page.wait("document.querySelector('#tally').innerText.includes('1 today')")
    ready(page)
    assert verdicts(site) == [("ann", "0.75")] and num_answers(site) == 1


def test_what_waited_survives_that_the_page_is_closed(chromium, site, listening):
    """The answer reached the server, and its acknowledgement did not come back: it is sent again and counts once."""
    page = log_in(chromium, listening(site), site, "ann")
    page.run("window.realFetch = fetch; window.fetch = async (path, options) => { const sent = await realFetch(path, options); if (path.startsWith('/api/answer')) throw new TypeError('lost'); return sent; }")  # fmt: skip
    page.press("2")
    page.until(lambda: num_answers(site) == 1, "the answer to arrive")
    page.wait("document.querySelector('#tally').innerText.includes('1 not sent')")
    page.reload()
    page.wait("document.querySelector('#tally')?.innerText.includes('1 today') && document.querySelector('#tally').innerText.includes('saved')")  # fmt: skip
    assert verdicts(site) == [("ann", "0.25")] and num_answers(site) == 1


def test_what_waited_for_a_run_is_not_sent_to_another_one_at_the_same_address(chromium, site, listening):
    page = log_in(chromium, listening(site), site, "ann")
    own = site.queue.meta("run")
    page.connected(False)
    page.press("4")
    page.wait("document.querySelector('#tally').innerText.includes('1 not sent')")
    site.queue.set_meta(run="another")
    page.connected(True)
    page.wait("document.querySelector('#tally').innerText.includes('not served here now')")
    page.reload()
    page.wait("document.querySelector('#tally')?.innerText.includes('saved')")
    assert num_answers(site) == 0
    site.queue.set_meta(run=own)
    page.reload()
    page.until(lambda: verdicts(site) == [("ann", "0.75")], "the answer")


def test_a_reload_in_mid_answer_brings_back_the_question_and_what_was_begun(chromium, site, listening):
    page = log_in(chromium, listening(site), site, "ann")
    picture = page.run(
        "performance.getEntriesByType('resource').filter((one) => one.name.includes('/film/')).at(-1).name"
    )
    page.run("document.querySelector('#slider').value = 85; document.querySelector('#slider').oninput()")
    page.reload()
    page.wait("document.querySelector('canvas')?.dataset.frame")
    assert page.run("performance.getEntriesByType('resource').filter((one) => one.name.includes('/film/')).at(-1).name") == picture  # fmt: skip
    assert page.run("document.querySelector('#slider').value") == "85"
    score(page, "Enter")
    page.until(lambda: num_answers(site) == 1, "the answer")
    assert verdicts(site) == [("ann", "0.85")]


def test_seconds_count_while_somebody_is_active_and_not_for_ever(chromium, new_site, listening):
    site = new_site("clip")
    page = log_in(chromium, listening(site), site, "ann")
    time.sleep(1.2)
    score(page, "3")
    page.until(lambda: num_answers(site) == 1, "the answer")
    (seconds,) = (row[0] for row in site.queue.read("SELECT seconds FROM answer"))
    assert 1.0 < seconds < 10


@pytest.mark.parametrize(("kind", "keys"), [("pair", ["ArrowLeft"]), ("moments", [".", "s", ".", "f", "Enter"])])
def test_pairs_and_moments_are_answered_by_keys(chromium, new_site, listening, kind, keys):
    site = new_site(kind)
    page = log_in(chromium, listening(site), site, "ann")
    page.press(" ")
    page.run("document.querySelector('#scrub').value = 4; document.querySelector('#scrub').oninput()")
    for key in keys:
        page.press(key)
    page.until(lambda: num_answers(site) == 1, "the answer")
    said = site.queue.read("SELECT verdict FROM answer")[0][0]
    if kind == "pair":
        (shown,) = site.queue.read("SELECT question FROM answer")
        asked = page.run("performance.getEntriesByType('resource').filter((one) => one.name.includes('/film/')).map((one) => one.name)")  # fmt: skip
        left = next(address for address in asked if f"/film/{shown[0]}/" in address)
        assert said == ('"left"' if left.endswith("/0") else '"right"')  # in the question's own sides
    else:
        assert said == "[[2, 1], [3, -1]]"  # frame 5 is row 2: three rows of context come first


def test_the_owner_adds_pauses_and_looks_and_the_gallery_plays(chromium, site, listening):
    address = listening(site)
    rater = log_in(chromium, address, site, "ann")
    score(rater, "4")
    page = chromium.page()
    page.go(f"{address}/?token={site.tokens['owner']}")
    page.wait("document.querySelector('#raters')?.rows.length === 2")
    page.run("document.querySelector('#name').value = 'cleo'; document.querySelector('#wage').value = 5; document.querySelector('#add').requestSubmit()")  # fmt: skip
    page.wait("document.querySelector('#raters').rows.length === 3 && document.querySelector('#link-text').innerText.includes('/?token=')")  # fmt: skip
    assert page.run("document.querySelectorAll('td.bad').length") == 1  # five coins an hour
    page.run("[...document.querySelectorAll('#raters button')].find((one) => one.innerText === 'Pause').click()")
    page.wait("document.querySelector('#raters tr.off')?.innerText.includes('paused')")
    page.go(f"{address}/gallery")
    page.wait("document.querySelector('.card canvas')?.dataset.frame")
    assert "said 6.00" in page.text() and "no prediction yet" in page.text()
    stranger = chromium.page()
    stranger.go(f"{address}/owner")
    stranger.wait("document.body.innerText.includes('needs the owner')")
