"""What a run will take, by arithmetic; and what is refused before anything is made."""

from pathlib import Path

import pytest

import tandem.cli
from tandem.envs.records import ObsSpec, Spaces
from tandem.errors import UserError
from tandem.training.build import build
from tandem.training.forecast import forecast as forecasts
from tandem.training.forecast.forecast import (
    LEARNING,
    Forecast,
    Room,
    bought,
    forecast,
    label_bytes,
    measuring_bytes,
    replay_bytes,
    row_bytes,
    shared_rows,
    update_bytes,
)
from tandem.training.forecast.machine import free_memory
from tandem.training.settings import load_config

VECTOR = Spaces({"state": ObsSpec((24,))}, 6)
IMAGE = Spaces({"image": ObsSpec((64, 64, 3), kind="image")}, 6)


def config(*settings, share=0.5, total=10_000):
    fixed = ("allocator.name=fixed", f"allocator.label_share={share}", f"budget.total={total}", "price.label=4")
    return load_config(["size_small", *fixed, *settings])


def test_a_row_has_the_bytes_of_its_columns():
    # 24 numbers of 4, 4 flags, 2 counters of 8, 6 actions of 4, a state of 256 numbers and 16 classes
    assert row_bytes(config(), VECTOR) == 96 + 4 + 16 + 24 + 1024 + 16
    assert row_bytes(config("replay.latents=bfloat16"), VECTOR) == 96 + 4 + 16 + 24 + 512 + 16
    assert row_bytes(config(), IMAGE) == 64 * 64 * 3 + 4 + 16 + 24 + 1024 + 16


def test_the_budget_says_how_many_rows_there_will_be_and_the_capacity_how_many_stay():
    assert bought(config()) == (5000, 1250)
    tiers = "labeler.tiers={crowd:{price:1,sigma:1.0},expert:{price:6,sigma:0.2}}"
    assert bought(load_config(["quickstart", tiers])) == (48_000, 24_000)  # of the cheapest
    assert bought(load_config(["quickstart"])) == (48_000, 6_000)  # adaptive: all may go into transitions
    few = config("replay.capacity=1024", "replay.heldout_capacity=1000")
    assert replay_bytes(few, VECTOR, 5000) == 2024 * row_bytes(few, VECTOR)


def test_labels_of_neighbours_share_their_rows():
    assert shared_rows(1000, 1000, 9) == 1000  # every row is labelled: each is held once
    assert shared_rows(10**9, 10, 9) == pytest.approx(90)  # so few that none are neighbours
    assert shared_rows(1000, 250, 9) == pytest.approx(1000 * (1 - 0.75**9))
    # 250 labels of 4-coin prices: rows, and each its latent, slots and scalars
    rows = 250 * (1 - 0.95**9) / 0.05
    expected = rows * (12_288 + 24 + 5) + 250 * (90 + 36 + 1024 + 16)
    assert label_bytes(config(), IMAGE, 5000, 250) == pytest.approx(expected)


def test_processes_that_share_the_updates_have_models_of_their_own():
    one, four = (forecast(config(), VECTOR, 10**8, processes=number).rooms["memory"].parts for number in (1, 4))
    assert four["models"] == 4 * one["models"] and four["processes"] == 4 * one["processes"]
    assert {name for name in one if four[name] != one[name]} == {"models", "processes"}


def test_mapped_rows_count_on_the_disk_and_not_in_memory(tmp_path):
    held, mapped = (
        forecast(config(f"replay.storage={storage}", f"run.dir={tmp_path}/run"), IMAGE, 1_000_000).rooms
        for storage in ("memory", "mmap")
    )
    assert held["memory"].parts["replay"] == mapped["disk"].parts["replay"] > 60e6
    assert "replay" not in mapped["memory"].parts and "replay" not in held["disk"].parts


@pytest.mark.parametrize(
    ("topology", "depth", "side", "measured"),
    [
        ("strided", 6, 64, 0.285),
        ("strided", 8, 64, 0.354),
        ("pooled", 6, 64, 0.432),
        ("pooled", 16, 64, 1.028),
        ("pooled", 8, 96, 1.214),
    ],
)
def test_measuring_takes_what_the_encoder_was_seen_to_take(topology, depth, side, measured):
    """GB at the peak of 2,048 images through the encoder without gradients, as the system told them."""
    settings = (f"dynamics.images.topology={topology}", f"dynamics.images.depth={depth}")
    spaces = Spaces({"image": ObsSpec((side, side, 3), kind="image")}, 1)
    assert (measuring_bytes(config(*settings), spaces, labels=0) - LEARNING) / 1e9 == pytest.approx(measured, rel=0.05)


def test_a_small_batch_of_images_takes_less_than_measuring():
    small, large = (config(f"train.batch={batch}", "train.length=16") for batch in (4, 64))
    told = [forecast(one, IMAGE, 10**6).rooms["memory"].parts["updates"] for one in (small, large)]
    assert told == [measuring_bytes(small, IMAGE, labels=1250), update_bytes(large, IMAGE)]
    assert measuring_bytes(small, VECTOR, labels=1250) == 0


def test_refits_read_the_images_of_all_labels_at_once():
    one, clips = (config("labels.burn_in=2", *kind) for kind in ((), ("labeler.kind=clip", "labeler.length=16")))
    told = [measuring_bytes(each, IMAGE, labels=1000) - measuring_bytes(each, IMAGE, labels=0) for each in (one, clips)]
    assert told == [1000 * 3 * 12_288, 1000 * 18 * 12_288]
    few = config("measure.labels=10", "labels.burn_in=2")
    assert measuring_bytes(few, IMAGE, labels=1000) - measuring_bytes(few, IMAGE, labels=0) == 10 * 3 * 12_288


def test_a_gpu_holds_what_learns():
    rooms = forecast(config(), IMAGE, 1_000_000, gpu_bytes=80e9).rooms
    assert rooms["GPU"].parts["models"] == 16e6 and "updates" not in rooms["memory"].parts


def test_what_does_not_fit_is_refused_with_advice_unless_that_is_known():
    rooms = {"memory": Room({"replay": 91e9}, 100e9), "disk": Room({"journals": 1e9}, 100e9)}
    with pytest.raises(
        UserError, match=r"^memory: 91 GB of 100 for replay 91: more than 90% .* replay.capacity, .*forecast=warn"
    ):
        Forecast(rooms).check(is_refused=True)
    assert Forecast(rooms).check(is_refused=False).startswith("warning: memory: 91 GB of 100")
    fits = Forecast(rooms | {"memory": Room({"replay": 89e9}, 100e9)})
    assert fits.check(is_refused=True) == "memory: 89 GB of 100 for replay 89; disk: 1 GB of 100 for journals 1"


def test_a_run_that_cannot_fit_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(forecasts, "free_memory", lambda: 1e6)
    with pytest.raises(UserError, match=r"^memory: .* more than 90% of what is free"):
        build(load_config(["smoke", "task=toy_lq", f"run.dir={tmp_path}/run"]), is_resumed=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_group_counts_and_not_the_machine_around_it(tmp_path, version):
    def put(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    put("proc/meminfo", "MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    assert free_memory(tmp_path) == 8_192_000_000
    put("proc/self/cgroup", "0::/a/b\n" if version == 2 else "4:memory:/a/b\n")
    group = Path("sys/fs/cgroup") / ("" if version == 2 else "memory")
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    for folder, most in (("a/b", "max" if version == 2 else str(2**63 - 4096)), ("a", "3000000")):
        put(group / folder / names[0], most + "\n")
        put(group / folder / names[1], "2500000\n")
    assert free_memory(tmp_path) == 500_000  # the group above has the limit
    put(group / "a/memory.stat", "anon 2000000\ninactive_file 300000\nactive_file 100000\n")
    assert free_memory(tmp_path) == 900_000


def told(capsys, *arguments):
    """The status, the lines and the complaint of a forecast."""
    status = tandem.cli.main(["train", *arguments, "--forecast"])
    return status, *capsys.readouterr()


def test_a_forecast_is_told_without_making_a_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, lines, _ = told(capsys, "smoke")
    assert status == 0 and list(tmp_path.iterdir()) == []
    run = build(load_config(["smoke", f"run.dir={tmp_path}/other"]), is_resumed=False)
    assert f"parameters: {run.learner.num_parameters:,} (dynamics" in lines
    assert "\nmemory: " in lines and "\ndisk: " in lines
    assert "reckoned with: {:,} transitions and {:,} labels to buy\n".format(*bought(run.config)) in lines


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("budget.total=1", "for the pilot"),
        ("labeler.name=nosuch:Labeler", "labeler.name"),
        ("allocator.name=nosuch:Allocator", "allocator.name"),
        ("log.sinks=[nosuch:Sink]", "log.sinks"),
        ("task=gym:Nope-v0", "no task"),
    ],
)
def test_a_forecast_refuses_what_a_run_would(tmp_path, capsys, monkeypatch, setting, words):
    monkeypatch.chdir(tmp_path)
    status, _, complaint = told(capsys, "smoke", setting)
    assert status == 2 and words in complaint
    assert list(tmp_path.iterdir()) == []


def test_a_forecast_refuses_or_warns_after_its_lines(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(forecasts, "free_memory", lambda: 1e8)
    monkeypatch.chdir(tmp_path)
    status, lines, complaint = told(capsys, "smoke")
    assert status == 2 and "\nmemory: " in lines and "more than 90% of what is free" in complaint
    status, lines, complaint = told(capsys, "smoke", "run.forecast=warn")
    assert status == 0 and "this will not fit" in lines and complaint == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "other", [["--resume", "x"], ["--sweep", "seed=0,1"], ["--print-config"], ["--reproduce", "x"]]
)
def test_a_forecast_goes_with_no_other_question(capsys, other):
    status, _, complaint = told(capsys, *other)
    assert status == 2 and "--forecast: tells of a new run" in complaint


def test_models_that_are_there_already_are_counted_and_not_free(monkeypatch):
    monkeypatch.setattr(forecasts, "free_memory", lambda: 10e9)
    assert forecast(config(), VECTOR, 10**8, made=4e8).rooms["memory"].free == 10.4e9
    on_gpu = forecast(config(), VECTOR, 10**8, gpu_bytes=20e9, made=4e8).rooms
    assert (on_gpu["memory"].free, on_gpu["GPU"].free) == (10e9, 20.4e9)


def test_labels_of_stock_have_their_own_price():
    offline = config("data.transitions=x", "data.collect=false", "data.price_label=0.5", total=100)
    assert bought(offline)[1] == 200
