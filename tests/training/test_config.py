"""The configuration: presets and key=value arguments, and one plain line for whatever cannot be used."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
import yaml

from tandem.envs.labelers.rater import TierConfig
from tandem.training import settings
from tandem.training.config import Config, ConfigError, RunConfig
from tandem.training.options.settings_help import FIRST, help_text
from tandem.training.settings import load_config, read_config, resume_config, save_config


@pytest.fixture
def presets(monkeypatch):
    """Three presets of our own, so that the values in configs/ may change."""
    files = {
        "quickstart": "# Two cores\nseed: 5\nbudget:\n  total: 300\n",
        "rich": "# More money\nbudget:\n  total: 900\nenvs:\n  num: 7\n",
        "broken": "# A key that does not exist\nbudget:\n  totl: 1\n",
    }
    monkeypatch.setattr(settings, "preset_files", lambda: files)


def refusal(*arguments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(list(arguments))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_a_preset_the_quickstart_is_used(presets):
    assert load_config([]).seed == 5
    assert load_config(["envs.num=2"]).seed == 5
    assert load_config(["rich"]).seed == Config().seed


def test_later_presets_win_and_the_command_line_wins_over_all(presets):
    assert load_config(["quickstart", "rich"]).budget.total == 900
    assert load_config(["rich", "quickstart"]).budget.total == 300
    assert load_config(["budget.total=1", "rich", "quickstart"]).budget.total == 1
    assert load_config(["quickstart", "rich"]).envs.num == 7


def test_every_shipped_preset_loads_and_says_what_it_is():
    names = settings.preset_files()
    assert {"quickstart", "smoke"} <= names.keys()
    for name, text in names.items():
        assert text.startswith("# "), name
        assert isinstance(load_config([name]), Config)


def test_values_are_read_as_their_types(presets):
    config = load_config(
        ["budget.total=200_000", "price.label=1e1", "seed=1_0", "allocator.weights=[1,2.5]", "log.figures=false"]
    )
    assert (config.budget.total, config.price.label, config.seed) == (200_000.0, 10.0, 10)
    assert config.allocator.weights == (1.0, 2.5)
    assert config.log.figures is False
    assert load_config(["train.updates=null", "train.ratio=32"]).train.updates is None


def test_text_stays_as_it_was_written(presets):
    config = load_config(["run.name=007", "run.dir=a=b", "task=gym:CartPole-v1"])
    assert (config.run.name, config.run.dir, config.task) == ("007", "a=b", "gym:CartPole-v1")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("budget.totl=3", ["budget.totl", "command line", "did you mean budget.total?"]),
        ("label_share=0.3", ["label_share", "did you mean allocator.label_share?"]),
        ("zzz=3", ["zzz", "command line", "did you mean"]),
        ("=3", ["no such key"]),
        ("quickstrat", ["quickstrat", "no such preset", "did you mean quickstart?"]),
        ("allocator=fixed", ["allocator", "section", "allocator.name=..."]),
        ("allocator.weights.0=2", ["allocator.weights.0", "no such key", "allocator.weights"]),
        ("envs.num=1e6", ["envs.num", "1_000_000", "command line"]),
        ("envs.num=three", ["envs.num", "whole number", "three"]),
        ("seed=true", ["seed", "whole number"]),
        ("seed=", ["seed", "whole number"]),
        ("seed=[1]", ["seed", "whole number"]),
        ("seed=???", ["seed", "whole number"]),
        ("seed=-1", ["seed", "between 0 and", "-1", "command line"]),
        ("budget.total=.nan", ["budget.total", "finite"]),
        ("budget.total=.inf", ["budget.total", "finite"]),
        ("budget.total=0", ["budget.total: must be", "command line"]),
        ("price.label=-4", ["price.label: must be", "-4", "command line"]),
        ("envs.num=0", ["envs.num: must be", "command line"]),
        ("dynamics.prior_layers=0", ["dynamics.prior_layers: must be"]),
        ("dynamics.free_nats=-1", ["dynamics.free_nats: must be"]),
        ("dynamics.optimizer.beta2=1.0", ["dynamics.optimizer.beta2: must be"]),
        ("actor_critic.entropy=-1", ["actor_critic.entropy: must be"]),
        ("replay.capacity=100", ["replay.capacity: must hold", "command line"]),
        ("allocator.label_share=1.0", ["allocator.label_share: must be", "command line"]),
        ("allocator.label_share=0.3", ["allocator.label_share: only allocator.name=fixed has one", "adaptive"]),
        ("allocator.name=fixd", ["allocator.name", "one of fixed, coupled, optimum", "fixd"]),
        ("allocator.name=adaptve", ["allocator.name: must be one of", "did you mean adaptive?", "command line"]),
        ("labeler.name=nosy", ["labeler.name: must be one of", "did you mean noisy?", "command line"]),
        ("labeler.name=null", ["labeler.name: must be one of env_reward, noisy, people or module:Class", "null"]),
        ("allocator.weights=3", ["allocator.weights", "list of numbers", "3"]),
        ("allocator.weights=[1,x]", ["allocator.weights", "list of numbers"]),
        ("allocator.weights=[1,.nan]", ["allocator.weights", "list of numbers"]),
        ("device=tpu", ["device", "one of auto, cpu, cuda"]),
        ("train.updates=[", ["train.updates", "not readable"]),
        ("task=${nothing}", ["task", "nothing"]),
        ("labeler.tiers=3", ["labeler.tiers", "sections by name", "command line"]),
        ("labeler.tiers.cheap=3", ["labeler.tiers.cheap", "section", "labeler.tiers.cheap.price=..."]),
        ("labeler.tiers={cheap:{}}", ["labeler.tiers.cheap", "section"]),
        ("labeler.tiers.cheap.pric=1", ["labeler.tiers.cheap.pric", "did you mean labeler.tiers.cheap.price?"]),
        ("labeler.tiers={cheap:{prise:1}}", ["cheap.prise", "did you mean labeler.tiers.cheap.price?"]),
        ("labeler.tiers.cheap.sigma=1", ["labeler.tiers.cheap.price: must be given"]),
        ("labeler.tiers.cheap.price=much", ["labeler.tiers.cheap.price", "finite number", "much"]),
        ("labeler.tiers={cheap:{price:1,sigma:-1}}", ["labeler.tiers.cheap.sigma: must be", "-1", "command line"]),
        ("labeler.tiers.cheap={price:1,flip:2}", ["labeler.tiers.cheap.flip: must be", "2"]),
        ("labeler.tiers.default.price=1", ["labeler.tiers.default: must be named"]),
        ("labeler.gold=x", ["labeler.gold: must be one of the tiers", "x"]),
        ("task=", ["task: must name an environment", "command line"]),
    ],
)
def test_a_value_that_cannot_be_used_is_one_line_with_key_and_source(presets, argument, words):
    line = refusal(argument)
    for word in words:
        assert word in line


def test_a_bad_key_in_a_preset_names_the_preset(presets):
    assert refusal("broken") == "budget.totl: no such key (preset broken), did you mean budget.total?"


def test_arguments_of_which_one_is_part_of_another_are_refused(presets):
    line = refusal("allocator=fixed", "allocator.label_share=0.3")
    assert line.startswith("allocator: is part of allocator.label_share")


def test_a_key_given_twice_is_refused(presets):
    assert refusal("seed=1", "seed=2") == "seed: given twice (command line)"


TIERS = {"cheap": TierConfig(price=1.0, sigma=1.0), "expert": TierConfig(price=6.0, sigma=0.2, prior_bias=0.0)}


def test_named_sections_are_set_as_a_whole_or_key_by_key(presets):
    whole = load_config(["labeler.tiers={cheap:{price:1,sigma:1},expert:{price: 6, sigma: .2, prior_bias: 0}}"])
    assert whole.labeler.tiers == TIERS
    entries = [
        "labeler.tiers.cheap={price:1,sigma:1}",
        "labeler.tiers.expert.price=6",
        "labeler.tiers.expert.sigma=0.2",
    ]
    assert load_config([*entries, "labeler.tiers.expert.prior_bias=0"]).labeler.tiers == TIERS
    assert load_config([]).labeler.tiers == {}


def test_named_sections_of_presets_are_merged_or_emptied(presets):
    files = settings.preset_files()
    files["raters"] = "# Two raters\nlabeler: {tiers: {cheap: {price: 1, sigma: 1}, expert: {price: 9}}}\n"
    files["alone"] = "# Nobody else\nlabeler: {tiers: {}}\n"
    dearer = load_config(["raters", "labeler.tiers.cheap.price=2", "labeler.tiers.panel.price=3"]).labeler.tiers
    assert {name: (tier.price, tier.sigma) for name, tier in dearer.items()} == {
        "cheap": (2, 1),
        "expert": (9, 0),
        "panel": (3, 0),
    }
    assert load_config(["raters", "alone"]).labeler.tiers == {}
    assert load_config(["alone", "raters"]).labeler.tiers.keys() == {"cheap", "expert"}


def test_named_sections_are_saved_read_again_and_kept_by_a_resume(presets, tmp_path):
    config = load_config(["labeler.tiers={cheap:{price:1,sigma:1},expert:{price:6,sigma:.2,prior_bias:0}}"])
    path = tmp_path / "config.yaml"
    save_config(config, path)
    assert read_config(path) == config and read_config(path).labeler.tiers == TIERS
    assert resume_config(tmp_path, ["labeler.tiers.cheap.price=1"]).labeler.tiers == TIERS
    for argument, words in (
        ("labeler.tiers.cheap.price=2", "labeler.tiers.cheap.price: cannot change .* was 1.0, got 2.0"),
        ("labeler.tiers.panel.price=2", "labeler.tiers.panel.price: cannot change .* was None, got 2.0"),
        ("labeler.tiers={}", "labeler.tiers: cannot change"),
    ):
        with pytest.raises(ConfigError, match=words):
            resume_config(tmp_path, [argument])
    content = yaml.safe_load(path.read_text())
    del content["labeler"]["tiers"]["cheap"]["flip"]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"labeler.tiers.cheap.flip: missing"):
        read_config(path)


def test_tiers_make_no_sense_where_every_transition_has_its_label(presets):
    coupled = ["mode=coupled", "allocator.name=coupled", "envs.heldout_share=0"]
    assert load_config(coupled).mode == "coupled"
    assert refusal(*coupled, "labeler.tiers.cheap.price=1").startswith("labeler.tiers: must be none where mode=coupled")
    assert (
        refusal(*coupled, "labeler.kind=clip")
        == "labeler.kind: must be step where mode=coupled, got clip (command line)"
    )


def test_a_saved_configuration_comes_back_equal(presets, tmp_path):
    config = load_config(["rich", "seed=3", "run.name=a # b", "allocator.weights=[1,2]"])
    save_config(config, tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml") == config
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


def test_a_saved_configuration_without_a_key_is_refused(presets, tmp_path):
    path = tmp_path / "config.yaml"
    save_config(load_config([]), path)
    content = yaml.safe_load(path.read_text())
    del content["price"]["label"]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"price.label: missing .*config.yaml"):
        read_config(path)


@pytest.mark.parametrize("text", ["a: [", "- 1\n", ""])
def test_a_file_that_is_no_configuration_is_refused(presets, tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config.yaml"):
        read_config(path)


@pytest.fixture
def run(presets, tmp_path):
    save_config(load_config(["seed=3"]), tmp_path / "config.yaml")  # budget.total is 300
    return tmp_path


def test_a_resumed_run_keeps_its_settings_and_may_get_more_money(run):
    assert replace(resume_config(run, []), run=RunConfig()) == read_config(run / "config.yaml")
    assert resume_config(run, ["budget.total=400", "seed=3"]).budget.total == 400
    assert resume_config(run, ["budget.total=400"]).seed == 3


def test_a_moved_run_is_resumed_where_it_lies_now(run):
    assert resume_config(run, []).run.dir == str(run)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("budget.total=299", "budget.total: a resumed run's budget can only grow, was 300, got 299"),
        ("seed=4", "seed: cannot change in a resumed run, was 3, got 4"),
        ("rich", "rich: a resumed run keeps its own settings"),
    ],
)
def test_a_resumed_run_refuses_other_changes(run, argument, words):
    with pytest.raises(ConfigError, match=words):
        resume_config(run, [argument])


def test_a_folder_without_a_configuration_is_no_run(tmp_path):
    with pytest.raises(ConfigError, match="not a run"):
        resume_config(tmp_path / "nothing", [])


def test_the_run_folder_is_made_of_root_task_time_and_seed():
    now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    run = RunConfig(root="r").named("gym:CartPole-v1", 9, now)
    assert (run.name, Path(run.dir)) == ("20260304-050607-s9", Path("r/gym_CartPole-v1/20260304-050607-s9"))
    assert Path(RunConfig(root="r", name="first").named("toy_lq", 9, now).dir) == Path("r/toy_lq/first")
    assert RunConfig(dir="elsewhere").named("toy_lq", 9, now).dir == "elsewhere"


def keys_in(page: str) -> set[str]:
    """The keys that have a row on a page of help."""
    return {line.split("=")[0].strip() for line in page.splitlines() if line.startswith("  ") and "=" in line}


def test_help_all_lists_every_preset_and_key_with_default_and_meaning(presets):
    page = help_text("all")
    text = " ".join(page.split())
    assert "rich More money" in text
    assert "threads=0 of torch; 0: torch's own choice" in text
    assert "train.ratio=null" in text
    assert "mode=decoupled decoupled|coupled. coupled:" in text
    assert "labeler.tiers.NAME.price= coins an answer labeler.tiers.NAME.sigma=0.0" in text
    assert settings.leaves().keys() <= keys_in(page)


def test_the_first_page_of_help_shows_what_is_set_first_and_names_every_section(presets):
    page = help_text()
    assert set(FIRST) <= settings.leaves().keys() and len(FIRST) < 20
    assert keys_in(page) == set(FIRST)
    sections = {key.split(".")[0] for key in settings.leaves() if "." in key}
    rows = {line.split()[0]: line.split()[1:] for line in page.splitlines() if line.startswith("  ")}
    assert all(rows[name] for name in sections | {"general", "rich"})  # each with what it is about
    assert len(page.splitlines()) < 60


def test_every_key_is_on_the_page_of_its_section(presets):
    shown = set()
    for section in {key.split(".")[0] if "." in key else "general" for key in settings.leaves()}:
        keys = keys_in(help_text(section))
        assert keys >= {key for key in settings.leaves() if key.startswith(f"{section}.")}
        shown |= keys
    assert shown >= settings.leaves().keys()


def test_help_shows_a_part_of_a_section_a_key_and_a_preset(presets):
    optimizer = keys_in(help_text("dynamics.optimizer"))
    assert "dynamics.optimizer.lr" in optimizer and all(key.startswith("dynamics.optimizer.") for key in optimizer)
    assert keys_in(help_text("train.updates")) == {"train.updates"}
    assert keys_in(help_text("labeler.tiers")) >= {"labeler.tiers", "labeler.tiers.NAME.price"}
    assert help_text("rich") == "# More money\nbudget:\n  total: 900\nenvs:\n  num: 7"


@pytest.mark.parametrize(
    ("word", "meant"), [("labler", "labeler"), ("label_share", "allocator.label_share"), ("smoek", "smoke")]
)
def test_help_for_an_unknown_section_names_the_nearest(word, meant):
    with pytest.raises(ConfigError) as caught:
        help_text(word)
    assert str(caught.value) == f"{word}: no such section, did you mean {meant}?"


@pytest.mark.parametrize(
    "whole",
    ["envs.kwargs={size:3,name:abc,list:[1,a],url:a:b}", "envs.kwargs={size: 3, name: abc, list: [1, a], url: 'a:b'}"],
)
def test_arguments_of_an_environment_are_free_and_come_back_from_disk(presets, tmp_path, whole):
    parts = ["envs.kwargs.size=3", "envs.kwargs.name=abc", "envs.kwargs.list=[1,a]", "envs.kwargs.url=a:b"]
    wanted = {"size": 3, "name": "abc", "list": [1, "a"], "url": "a:b"}
    assert load_config([whole]).envs.kwargs == load_config(parts).envs.kwargs == wanted
    save_config(load_config([whole]), tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml").envs.kwargs == wanted
    assert resume_config(tmp_path, ["envs.kwargs.size=3"]).envs.kwargs == wanted
    with pytest.raises(ConfigError, match=r"envs.kwargs.size: cannot change .* was 3, got 4"):
        resume_config(tmp_path, ["envs.kwargs.size=4"])
    assert load_config([]).envs.kwargs == {} and "envs.kwargs={}" in help_text("envs")


def test_what_may_change_at_a_resume_changes_and_a_new_time_limit_is_said(run):
    changes = ["envs.time_limit=7", "envs.processes=true", "evaluate.episodes=2", "log.every_seconds=9", "threads=1"]
    config = resume_config(run, [*changes, "device=cpu", "budget.total=301"])
    assert (config.envs.time_limit, config.evaluate.episodes, config.budget.total, config.device) == (7, 2, 301, "cpu")
    [note] = settings.resume_notes(run, config)
    assert "envs.time_limit" in note and "was 0, is 7" in note
    assert settings.resume_notes(run, resume_config(run, ["device=cpu"])) == []


def test_what_may_not_change_is_refused_with_what_may(run):
    for argument in ("precision=float32", "envs.repeat=3", "labeler.delay=1", "train.batch=3", "run.root=x"):
        with pytest.raises(
            ConfigError, match=r"cannot change in a resumed run, .* what may: budget.total, envs.time_limit"
        ):
            resume_config(run, [argument])


def test_settings_that_a_version_added_have_their_defaults_in_older_runs(run):
    path = run / "config.yaml"
    content = yaml.safe_load(path.read_text())
    for key in {key for keys in settings.ADDED.values() for key in keys} & settings.leaves().keys():
        *sections, name = key.split(".")
        del reduce(getitem, sections, content)[name]
    path.write_text(yaml.safe_dump(content))
    assert read_config(path) == load_config(["seed=3"])
    del content["envs"]["repeat"]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"envs.repeat: missing"):
        read_config(path)
