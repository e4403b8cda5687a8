"""The page of a run: it tells what the folder holds, loads nothing, obeys nobody, and stands whatever is damaged or missing."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

import tandem.cli
from tandem.budget.ledger import Ledger
from tandem.training.page.command import PLACE
from tandem.training.page.numbers import NONE
from tandem.training.page.page import POLICY
from tandem.training.phases import train
from tandem.training.reports.logger import LogConfig, Logger
from tandem.training.reports.look import Onlooker

OLDER = Path(__file__).resolve().parents[2] / "older_runs"
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e\x1b[31m"
pytestmark = pytest.mark.run


@pytest.fixture
def copied(small_run, tmp_path) -> Path:
    """With a picture and a film."""
    folder = Path(shutil.copytree(small_run, tmp_path / "copied"))
    (folder / "report" / "films").mkdir(parents=True)
    for name in ("dynamics_open_loop.png", "films/eval_film-002.gif"):
        Image.new("RGB", (40, 30), "teal").save(folder / "report" / name)
    return folder


@pytest.mark.slow
def test_a_run_that_draws_leaves_its_page(tiny, see):
    config = tiny("log.figures=true")
    train(config)
    page = Path(config.run.dir) / PLACE
    assert page.stat().st_size < 3_000_000 and page.read_text() == see(Path(config.run.dir)).source
    assert "pictures" in see(Path(config.run.dir)).sections


def test_the_page_tells_what_the_ledger_and_the_evaluations_say(small_run, see):
    page, account = see(small_run), Ledger.open(small_run / "ledger.db").summary()
    rows = [json.loads(line) for line in (small_run / "metrics.jsonl").read_text().splitlines()]
    last = [row["eval/return"] for row in rows if "eval/return" in row][-1]
    assert "The run is finished: 320 of 320 coins are spent." in page.text
    assert f"{account['transitions']:,} transitions and {account['labels']:,} labels were bought." in page.text
    assert f"a mean true return of \N{MINUS SIGN}{-last:,.1f} with the most likely actions" in page.text
    assert [one for one in page.sections if one != "gaps"] == [
        *("returns", "bought", "plans", "errors", "warnings", "configuration", "versions")
    ]
    for phase in ("The pilot", "Phase 1", "Phase 2"):
        assert page.text.count(phase) == 1  # its plan


def test_nothing_is_asked_of_anybody(copied, see):
    page = see(copied)
    assert sum(tag == "img" for tag, _ in page.elements) == 2
    policies = [attributes["content"] for _, attributes in page.elements if attributes.get("http-equiv")]
    assert policies == [POLICY] and policies[0].startswith(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    )
    assert not {"script", "iframe", "object", "embed", "form", "video", "audio", "base"} & {
        tag for tag, _ in page.elements
    }
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in ("srcset", "action", "poster", "background"), (tag, name)
            assert name != "src" or value.startswith("data:image/"), (tag, value[:60])
            assert name not in ("href", "xlink:href") or value.startswith("#") or value == "data:,", (tag, value)
    assert "url(" not in page.source and "@import" not in page.source


def test_what_a_stranger_wrote_is_shown_and_never_obeyed(copied, see):
    settings = yaml.safe_load((copied / "config.yaml").read_text())
    settings |= {"task": EVIL, "mode": EVIL, "labeler": settings["labeler"] | {"prompt": EVIL}}
    (copied / "config.yaml").write_text(yaml.safe_dump(settings))
    (copied / "run.json").write_text(json.dumps({"version": EVIL, "torch": "2.13"}))
    with open(copied / "console.log", "a") as file:
        file.write(f"2026-11-27T04:06:53Z warning: {EVIL}\n" * 2)
    page = see(copied)
    assert not {"script"} & {tag for tag, _ in page.elements}
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count("<script>alert(1)</script>") >= 5 and "2 times, last at 2026-11-27 04:06" in page.text
    assert "\u202e" not in page.source and "\x1b" not in page.source


def test_a_run_under_way_without_pictures_and_evaluations_is_told(copied, see):
    shutil.rmtree(copied / "report")
    (copied / "metrics.jsonl").write_text("")
    (copied / "phases.jsonl").write_text((copied / "phases.jsonl").read_text().splitlines()[0] + "\n")
    page = see(copied)
    assert (
        "The run is not finished: 320 of 320 coins are spent, and phase 0 of 2 was the last to be finished."
        in page.text
    )
    assert "No episode was evaluated" in page.text and not {"returns", "films", "pictures"} & set(page.sections)


def test_a_run_that_has_only_begun_is_told(tmp_path, see, small_run):
    shutil.copy(small_run / "config.yaml", tmp_path)
    page = see(tmp_path)
    assert "no phase is finished yet" in page.text and "ledger.db: is missing" in page.text
    assert page.sections == ["warnings", "configuration", "versions"]


def test_a_run_of_an_older_version_is_told(tmp_path, see):
    shutil.unpack_archive(OLDER / "0.1.tar.gz", tmp_path)
    page = see(tmp_path / "0.1")
    assert (
        "The run is finished: 320 of 320 coins are spent." in page.text and "0.1 or 0.2, which wrote none" in page.text
    )
    assert "half of the spend each: 24 answered labels are fewer than 32" in page.text


def test_what_is_damaged_is_named_and_the_rest_is_told(copied, see):
    with open(copied / "metrics.jsonl", "a") as file:
        file.write("{'no': json\n")
    lines = [json.loads(line) for line in (copied / "phases.jsonl").read_text().splitlines()]
    lines[1]["spent_on_tiers"] = {"default": "much"}
    (copied / "phases.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "nothing\n")
    (copied / "ledger.db").write_bytes(b"no ledger")
    (copied / "run.json").write_text("[]")
    page = see(copied)
    for name in ("metrics.jsonl: 1 damaged line", "phases.jsonl: 1 damaged line", "ledger.db"):
        assert name in page.text
    assert "This part cannot be told" in page.text and {"returns", "errors", "pictures"} <= set(page.sections)


def tiles(page) -> dict[str, str]:
    return dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page.source.partition("</header>")[0]))


def test_without_a_ledger_the_last_phase_tells_what_was_bought(copied, see):
    before = tiles(see(copied))
    assert before["of the spend on labels"] != NONE != before["labels"]
    (copied / "ledger.db").unlink()
    assert tiles(see(copied)) == before


def test_without_ledger_and_phases_the_last_evaluation_tells_and_the_rest_is_not_known(copied, see):
    for name in ("ledger.db", "phases.jsonl", "run.json"):
        (copied / name).write_bytes(b"\xff\n")
    page = see(copied)
    assert (
        "Whether the run is finished is not known: 320 of 320 coins are spent, and no phase is known to be finished."
        in page.text
    )
    assert tiles(page)["of the spend on labels"] == NONE != tiles(page)["transitions"]
    assert "not readable" in page.text.rpartition("the run was started by")[2] and "0.1 or 0.2" not in page.text
    warnings = page.text.rpartition("Warnings")[2]
    for name in ("run.json", "phases.jsonl"):
        assert f"{copied / name}: not readable: 'utf-8' codec" in warnings


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], ["nowhere: not a run"]),
        (["."], ["not a run", "config.yaml"]),
        (["RUN", "--out", "."], ["--out .: is a folder"]),
        (["RUN", "--out", "no/page.html"], ["no folder no"]),
        ([], ["run"]),
    ],
)
def test_a_mistake_is_told_in_one_line_and_nothing_is_written(
    small_run, tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    assert tandem.cli.main(["report", *(str(small_run) if one == "RUN" else one for one in arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and all(word in err for word in words), err
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_where_it_is_told_to(small_run, tmp_path, capsys):
    assert tandem.cli.main(["report", str(small_run), "--out", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text().endswith("</html>\n") and "page.html" in capsys.readouterr().out


@pytest.mark.parametrize("is_wanted", [True, False])
def test_a_run_writes_its_page_where_pictures_are_wanted(copied, see, tmp_path, is_wanted):
    with Logger(tmp_path, LogConfig(figures=is_wanted)) as logger:
        looking = dict.fromkeys(Onlooker.__dataclass_fields__) | {"logger": logger}
        Onlooker(**looking).write_page(copied)
    assert (copied / PLACE).exists() == is_wanted
    assert not is_wanted or (copied / PLACE).read_text() == see(copied).source


def test_a_page_that_cannot_be_made_ends_no_run(tmp_path):
    with Logger(tmp_path, LogConfig()) as logger:
        looking = dict.fromkeys(Onlooker.__dataclass_fields__) | {"logger": logger}
        Onlooker(**looking).write_page(tmp_path / "nowhere")
    assert "warning: the page of the run failed, the run goes on: UserError" in (tmp_path / "console.log").read_text()
