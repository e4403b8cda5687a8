"""What the words of a sweep mean: values, cells and their names."""

import pytest

from tandem.training.sweeps.cells import Sweep, configurations
from tandem.training.sweeps.values import values_of
from tandem.usage import UsageError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0..3", ["0", "1", "2", "3"]),
        ("0..100..25", ["0", "25", "50", "75", "100"]),
        ("-1..1", ["-1", "0", "1"]),
        ("1_000..1_002", ["1000", "1001", "1002"]),
        ("7,0..2", ["7", "0", "1", "2"]),
        ("adaptive,fixed", ["adaptive", "fixed"]),
        ("0.1,0.25", ["0.1", "0.25"]),
        ("1..", ["1.."]),
        ("[1,2],[3]", ["[1,2]", "[3]"]),
        ("{a:{price:1,sigma:2}},{}", ["{a:{price:1,sigma:2}}", "{}"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("[',',2],1", ["[',',2]", "1"]),
        ("don't,do", ["don't", "do"]),
        ("", [""]),
        ("3", ["3"]),
    ],
)
def test_commas_and_ranges_are_values_and_brackets_and_quotes_keep_theirs(text, values):
    assert values_of("key", text) == values


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("1,,2", "empty value"),
        ("1,", "empty value"),
        ("9..0", "goes up"),
        ("0..9..0", "goes up"),
        ("[1,2", "] is missing"),
        ("'a,b", "' is missing"),
        ("1,2,1", "1 is given twice"),
        ("0..3,2", "2 is given twice"),
        ("0..4000000000", "at most 10,000"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_in_the_name_of_their_key(text, word):
    with pytest.raises(UsageError, match=r"^key: ") as caught:
        values_of("key", text)
    assert word in str(caught.value)


def test_every_combination_is_a_cell_and_the_first_seed_comes_first():
    sweep = Sweep.read(["smoke", "seed=0..1", "price.label=5", "allocator.name=adaptive,fixed"])
    assert [cell.name for cell in sweep.cells()] == [
        "allocator.name=adaptive,seed=0",
        "allocator.name=fixed,seed=0",
        "allocator.name=adaptive,seed=1",
        "allocator.name=fixed,seed=1",
    ]
    assert sweep.cells()[1].arguments == ("smoke", "price.label=5", "allocator.name=fixed", "seed=0")


def test_a_name_is_the_same_however_the_words_stand_and_another_for_other_values():
    tiers = "labeler.tiers={a:{price:1,sigma:1}},{a:{price:2,sigma:1}}"
    one, other = Sweep.read(["smoke", tiers, "seed=1,2"]), Sweep.read(["seed=2,1", "smoke", tiers])
    assert {cell.name for cell in one.cells()} == {cell.name for cell in other.cells()}
    assert one.folder == other.folder == Sweep.read(["smoke", tiers, "seed=1..9"]).folder
    assert one.folder != Sweep.read(["smoke", tiers, "seed=1,2", "price.label=7"]).folder
    assert one.cells()[0].name == "labeler.tiers={a:{price:1,sigma:1}},seed=1"


def test_what_a_folder_had_better_not_hold_is_replaced_and_told_apart_by_a_hash():
    names = [cell.name for cell in Sweep.read(["labeler.prompt='a/b, c','a b, c',plain"]).cells()]
    assert names[2] == "labeler.prompt=plain" and len(set(names)) == 3
    assert all("/" not in name and " " not in name and name.startswith("labeler.prompt=a_b,_c-") for name in names[:2])
    long = Sweep.read([f"labeler.prompt={'x' * 300},{'x' * 301}"]).cells()
    assert len({cell.name for cell in long}) == 2 and all(len(cell.name) < 140 for cell in long)


def test_quotes_around_text_only_keep_its_commas():
    assert Sweep.read(["labeler.prompt='Good, or bad?','Well?'"]).axes == {"labeler.prompt": ("Good, or bad?", "Well?")}


def test_cells_that_are_the_same_run_are_refused():
    sweep = Sweep.read(["smoke", "price.label=4,4.0"])
    with pytest.raises(UsageError.__mro__[1], match=r"price\.label=4 and price\.label=4\.0 are the same run"):
        configurations(sweep.cells())


def test_a_sweep_of_more_cells_than_anybody_can_mean_is_refused():
    with pytest.raises(UsageError, match="at most 10,000 cells, got 250,000"):
        Sweep.read(["seed=0..499", "envs.num=1..500"]).cells()
