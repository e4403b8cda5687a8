"""Which runs count as alike, and what their groups are called."""

from tandem.training.comparison.courses import Course
from tandem.training.comparison.groups import also_differing, group


def courses(*configurations):
    return [Course(f"run{place}", {"task": "toy", **one}, (), True) for place, one in enumerate(configurations)]


def test_seed_place_and_threads_make_no_group():
    found = group(
        courses({"seed": 0, "threads": 1, "run": {"dir": "a"}}, {"seed": 1, "threads": 2, "run": {"dir": "b"}})
    )
    assert [(one.name, len(one.courses)) for one in found] == [("all runs", 2)]


def test_a_group_is_named_by_what_it_differs_in_and_no_more():
    """updates tells the two adaptive groups apart; of the fixed ones it says nothing, and total says what name says."""

    def made(name, share, updates, total):
        allocator = {"phases": 12, "name": name, "label_share": share}
        return {"budget": {"total": total}, "allocator": allocator, "train": {"updates": updates}}

    found = group(
        courses(
            made("adaptive", None, 1500, 40),
            made("adaptive", None, None, 40),
            made("fixed", 0.2, 1500, 40),
            made("fixed", 0.8, 1500, 40),
            made("coupled", None, 1500, 120.0),
            made("coupled", None, 1500, 120),
        )
    )
    assert [one.name for one in found] == [
        "allocator.name=adaptive train.updates=1500",
        "allocator.name=adaptive train.updates=null",
        "allocator.name=fixed allocator.label_share=0.2",
        "allocator.name=fixed allocator.label_share=0.8",
        "allocator.name=coupled",
    ]
    assert also_differing(found) == ["budget.total"] and found[4].settings["budget.total"] == "120"


def test_raters_are_compared_as_a_whole():
    crowd = {"labeler": {"tiers": {"crowd": {"price": 1}}}}
    assert len(group(courses({"labeler": {"tiers": {}}}, crowd))) == 2


def test_a_setting_that_an_older_version_lacks_is_that_of_the_others_where_they_agree():
    assert len(group(courses({}, {"labeler": {"kind": "step"}}))) == 1
    found = group(courses({}, {"labeler": {"kind": "step"}}, {"labeler": {"kind": "clip"}}))
    assert [one.name for one in found] == ["labeler.kind=not known", "labeler.kind=step", "labeler.kind=clip"]
