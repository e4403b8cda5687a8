"""Settings and command lines that cannot be used: status 2, one line that names the field, no folder, no traceback."""

import contextlib
import io
import subprocess
import sys
import types
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

import tandem.cli
from tandem.training import settings
from tandem.training.config import ConfigError
from tandem.training.keys import leaves
from tandem.training.settings import load_config, read_config, save_config

HUGE = "1" + 30 * "0"
BY_HAND = {  # a word on the command line -> what the one line must name
    **{
        f"seed={value}": "seed"
        for value in ("1e6", "nan", ".inf", "x", "", "-1", HUGE, "[1]", "{a:1}", "null", "1.5", "?")
    },
    **{
        f"envs.num={value}": "envs.num"
        for value in ("0", "1e6", "true", "4294967296", HUGE, "\u0664\u4e2d", "9" * 5000)
    },
    **{f"budget.total={value}": "budget.total" for value in (".nan", "inf", "-3", "1e400", "a=b=c", "", "much")},
    **{
        f"task={value}": "task"
        for value in ("", "${seed}", "${oc.env:HOME}", "a\0b", "\udc80", "dmc_no_such", "gym:No-v9")
    },
    **{f"threads={value}": "threads" for value in ("-1", "100_000", HUGE)},
    **{f"log.figures={value}": "log.figures" for value in ("maybe", "3", "[true]")},
    **{f"device={value}": "device" for value in ("tpu", "", "null")},
    **{
        f"labeler.tiers.{name}.price=1": "labeler.tiers"
        for name in ("a b", "", "default", "a/b", "\u00e9", "a,b", "a[0]")
    },
    **{f"envs.kwargs.{name}=1": "envs.kwargs" for name in ("", "a b", "a.b", "1", "a-b")},
    **{f"envs.kwargs={value}": "envs.kwargs" for value in ("3", "[1]", "x", "{a:.nan}", "{a:{1:2}}", "{a:'${seed}'}")},
    "reward.bins=4294967295": "reward.bins",
    "seed=!!python/object/apply:os.system ['touch hacked']": "seed",
    "envs.kwargs.a=!!python/object/apply:pathlib.Path [x]": "envs.kwargs.a",
    "envs.kwargs.a=!!python/name:os.system": "envs.kwargs.a",
    "allocator.weights=!!int abc": "allocator.weights",
    "budget.total=[[[[": "budget.total",
    "seed=&a [*a]": "seed",
    "=": "no such key",
    "=3": "no such key",
    "..=3": "no such key",
    "a\nb=3": "no such key",
    "envs=3": "envs",
    "envs.=3": "envs.",
    "allocator=fixed": "allocator",
    "labeler.name=nosy": "labeler.name",
    "labeler.command=[no_such_program]": "labeler.command",
    "labeler.command=['']": "labeler.command",
    "labeler.url=file:///etc/passwd": "labeler.url",
    "labeler.name=no_such:Labeler": "labeler.name",
    "labeler.name=os:nothing": "labeler.name",
    "allocator.name=no_such:Allocator": "allocator.name",
    "allocator.name=os:getcwd": "allocator.name",
    "task=no_such:Env": "task",
    "task=os:getcwd": "task",
    "task=gym:no_such:Env-v0": "task",
    "task=broken:Env": "task",
    "task=raises:Env": "task",
    "task=leaves:Env": "task",
    "task=gym:raises:Env-v0": "task",
    "no_such_preset": "no_such_preset",
    "": "no such preset",
    "\u4e2d": "no such preset",
    "--what": "--what",
    "--seed=3": "--seed",
    "--trust": "--trust",
    "run.dir=file": "run.dir",
    "run.dir=file/run": "run.dir",
    "run.dir=/proc/run": "run.dir",
    "run.dir=arun": "run.dir",
    "run.root=file": "run.dir",
    f"run.name={'x' * 300}": "run.dir",
}
MODULES = {
    "broken.py": "class Env(:\n",
    "raises.py": "raise FileNotFoundError(2, 'No such file', 'assets.xml')\n",
    "leaves.py": "import sys\nsys.exit(0)\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "file").touch()
    (tmp_path / "arun").mkdir()
    save_config(load_config(["smoke"]), tmp_path / "arun" / "config.yaml")
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name.removesuffix(".py"), None)


def told(capsys, *arguments: str) -> str:
    """The one line of a command that must end with status 2 and leave nothing."""
    before = sorted(path for path in Path().rglob("*") if "__pycache__" not in path.parts)
    assert tandem.cli.main(list(arguments)) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1 and "Traceback" not in line, line
    assert sorted(path for path in Path().rglob("*") if "__pycache__" not in path.parts) == before
    return line


@pytest.mark.parametrize("word", BY_HAND)
def test_a_bad_word_ends_with_status_2_and_one_line_that_names_it(capsys, word):
    small = [] if word.startswith("task") else ["task=toy_lq"]
    assert BY_HAND[word] in told(capsys, "train", "smoke", *small, word)


def test_there_are_more_than_sixty_of_them():
    assert len(BY_HAND) > 60


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["seed=1", "seed=1"], "seed"),
        (["labeler.tiers={}", "labeler.tiers.a.price=1"], "labeler.tiers"),
        (["envs.kwargs={a:1}", "envs.kwargs.a=2"], "envs.kwargs"),
        (["--resume", "file"], "file"),
        (["--resume", "nothing", "seed=2"], "nothing"),
        (["--resume", "arun", "smoke"], "smoke"),
        (["--resume", "arun", "seed=77"], "seed"),
        (["--resume", "arun", "labeler.name=os:abort"], "labeler.name"),
    ],
)
def test_bad_words_together_are_told_by_name(capsys, words, name):
    assert name in told(capsys, "train", *words)


@pytest.mark.parametrize(
    "content", [b"", b"\0\0", b"\xff\xfe\x00", b"a: [", b"- 1", b"seed: 3\n", b"seed: 1\nseed: 2\n", b"[" * 9999]
)
@pytest.mark.parametrize("command", [["train", "--resume"], ["eval"]])
def test_a_damaged_configuration_of_a_run_is_named(capsys, folder, command, content):
    (folder / "arun" / "config.yaml").write_bytes(content)
    line = told(capsys, *command, "arun")
    assert "config.yaml" in line and len(line) < 1000


VALUES = [
    *(
        "1e6",
        "nan",
        ".nan",
        "-.inf",
        "-1",
        HUGE,
        "1e400",
        "",
        "=",
        "a=b",
        "~",
        "[]",
        "[1,x]",
        "{}",
        "{a:1}",
        "{a:{b:1}}",
        "[",
    ),
    *(
        "!!int x",
        "!!bool x",
        "!!set {a}",
        "!!timestamp x",
        "${seed}",
        "${",
        "???",
        "\u00e9",
        "a\0",
        "a\nb",
        "\udc80",
        "yes",
        "'",
    ),
]
LETTERS = "ab.=[]{}:,$!&*#%@'\"\\-+~?|> \t\n\0\u00e9\u4e2d\udc80019eE_"
KEYS = [*leaves(), "labeler.tiers.a.price", "envs.kwargs.a", "labeler.tiers.a", "envs"]


@hypothesis.settings(max_examples=250, derandomize=True, database=None, deadline=None)
@hypothesis.given(
    key=st.sampled_from(KEYS) | st.sampled_from(KEYS) | st.text(LETTERS, max_size=8),
    value=st.sampled_from(VALUES) | st.text(LETTERS, max_size=12),
)
def whatever_is_written_is_a_configuration_or_one_line(key, value):
    trained = []
    phases = types.ModuleType("tandem.training.phases")
    phases.train = lambda config, resume=None: trained.append(config)
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setitem(sys.modules, "tandem.training.phases", phases)
        other = "labeler.tiers={}" if key.startswith("seed") else "seed=1"
        status = tandem.cli.main(["train", "smoke", other, f"{key}={value}"])
    assert (status, len(trained), said.getvalue().count("\n")) in ((0, 1, 0), (2, 0, 1)), said.getvalue()
    REFUSED.append(status == 2)
    if trained:  # what is taken can be kept
        save_config(trained[0], Path("kept.yaml"))
        assert read_config(Path("kept.yaml")) == trained[0]


REFUSED: list[bool] = []


@pytest.mark.slow
def test_whatever_is_written_is_a_configuration_or_one_line():
    """Keys and values by chance, from known ones and from letters that mean something to YAML."""
    REFUSED.clear()
    whatever_is_written_is_a_configuration_or_one_line()
    assert sum(REFUSED) > 100


def test_nothing_in_a_file_or_a_preset_is_executed_or_looked_up(monkeypatch, folder):
    monkeypatch.setenv("SECRET", "a secret")
    for value in (
        "!!python/object/apply:os.system ['touch hacked']",
        "!!python/object/new:os.system ['touch hacked']",
        "!!python/module:antigravity",
        "!!python/object/apply:pathlib.Path ['/etc']",
        "${oc.env:SECRET}",
        "${oc.decode:'[1]'}",
        "x${oc.env:SECRET}",
    ):
        text = f"# bad\nenvs:\n  kwargs:\n    a: {value}\n"
        monkeypatch.setattr(settings, "preset_files", lambda text=text: {"bad": text})
        with pytest.raises(ConfigError) as caught:
            load_config(["bad"])
        (folder / "arun" / "config.yaml").write_text(text.replace("envs:\n  kwargs:\n    a", "task"))
        with pytest.raises(ConfigError) as of_run:
            read_config(folder / "arun" / "config.yaml")
        assert "a secret" not in str(caught.value) + str(of_run.value)
    assert not (folder / "hacked").exists() and "antigravity" not in sys.modules


@pytest.mark.run
@pytest.mark.parametrize(
    "word",
    [
        *("task=raises:Env", "run.dir=/proc/run"),
        *(pytest.param(word, marks=pytest.mark.slow) for word in ("seed=1e6", "task=\udc80")),
    ],
)
def test_a_bad_word_ends_a_real_command_in_the_same_way(folder, word):
    command = [sys.executable, "-m", "tandem", "train", "smoke", "envs.time_limit=20", word]
    done = subprocess.run(command, capture_output=True, cwd=folder, check=False)
    line = done.stderr.decode(errors="replace")
    assert (done.returncode, line.count("\n")) == (2, 1) and line.startswith(f"error: {word.split('=')[0]}")
    assert not (folder / "runs").exists()
    if "raises" in word:
        assert f"{folder / 'raises.py'}, line 1" in line
