"""Raters are shown what others agreed on at the ends of the scale, once there is such a clip, and none that they are to judge."""

import pytest

from tandem.envs.labelers.people.exchange.imports import import_answers
from tandem.envs.labelers.people.exchange.records import Stranger
from tandem.envs.labelers.people.overview import Overview


@pytest.fixture
def agreed(site):
    """Six clips, each scored by two raters and collected: near 0, near 1, near .5, of two minds, by one alone, and near .1."""
    given = {"cy": (0.1, 1.0, 0.5, 0.0, 0.0, 0.2), "di": (0.0, 0.9, 0.5, 0.6, None, 0.0)}
    for name, scores in given.items():
        found = [Stranger("", f"q{one}", name, score, 1.0) for one, score in enumerate(scores) if score is not None]
        import_answers(site.queue, found)
    site.people.collect(), site.people.collect()
    return site


def told(site, name: str = "ann") -> dict:
    return site.client(name).get("/api/examples").json()


def test_both_ends_are_clips_that_two_raters_agree_on(agreed):
    said = told(agreed)
    assert said["worst"]["text"] == "2 raters gave this 1.2 of 5 on average." and said["worst"]["film"]["frames"] == 11
    assert said["best"]["text"] == "2 raters gave this 4.8 of 5 on average."
    assert [said[end]["film"]["url"] for end in ("worst", "best")] == ["/film/1/0", "/film/2/0"]


def test_without_agreement_there_is_none_and_words_are_all(site):
    assert told(site) == {}
    import_answers(site.queue, [Stranger("", "q0", "cy", 0.0, 1.0)])
    site.people.collect(), site.people.collect()
    assert told(site) == {}


def test_an_example_can_be_seen_by_every_rater_and_nothing_else_can(agreed):
    ann, stranger = agreed.client("ann"), agreed.client()
    assert ann.get(told(agreed)["worst"]["film"]["url"]).status_code == 200
    assert ann.get("/film/3/0").status_code == 404  # answered, and no example
    assert stranger.get("/film/1/0").status_code == stranger.get("/api/examples").status_code == 401
    assert agreed.client("owner").get("/api/examples").status_code == 401


def test_what_the_owner_has_marked_or_a_retracted_rater_said_is_no_example(agreed):
    Overview(agreed.queue).mark(1, 0.0)  # practice, and gold later: its answer is not to be known
    assert told(agreed)["worst"]["film"]["url"] == "/film/6/0"
    agreed.raters.retract("di")
    assert told(agreed) == {}


def test_a_clip_that_is_open_once_more_is_no_example(agreed):
    with agreed.queue.writing() as db:  # asked of somebody else, as a duplicate is
        db.execute("INSERT INTO question (key, kind, tier, prompt, clips, num_rows, low, high, asked) "
                   "SELECT 'again', kind, tier, prompt, clips, num_rows, low, high, asked FROM question WHERE id = 2")  # fmt: skip
        row = db.execute("SELECT id FROM question WHERE key = 'again'").fetchone()
    assert row and "best" not in told(agreed)
