"""A run's card: what it keeps comes back, and what is not as it was written is refused in one line."""

import json
from dataclasses import replace

import pytest

import tandem
from tandem.envs.records import ObsSpec, Spaces
from tandem.training import settings
from tandem.training.config import ConfigError
from tandem.training.settings import load_config, read_config, resume_config, save_config, to_yaml
from tandem.training.storage import card as cards
from tandem.training.storage.card import CardError, RunCard, from_plain, to_plain

SPACES = Spaces({"state": ObsSpec((3,)), "grid": ObsSpec((2, 2), classes=5), "one": ObsSpec(())}, 6, factors=(3, 2))


@pytest.fixture
def run(tmp_path):
    """The folder of a run that has only just been made."""
    text = to_yaml(load_config(["smoke", "seed=3"]))
    RunCard.made(text, SPACES).write(tmp_path)
    (tmp_path / "config.yaml").write_text(text)
    return tmp_path


def refusal(folder, *names: str) -> str:
    with pytest.raises(CardError) as caught:
        read_config(folder / "config.yaml")
    line = str(caught.value)
    assert "\n" not in line and f"tandem repair {folder}" in line and all(name in line for name in names), line
    return line


def test_spaces_come_back_from_plain_data_equal():
    plain = json.loads(json.dumps(to_plain(SPACES)))
    assert from_plain(plain) == SPACES
    assert plain["obs"]["grid"] == {"shape": [2, 2], "classes": 5, "kind": "category", "dtype": "int32"}


def test_a_written_card_is_read_back_equal_and_says_who_made_the_run(run):
    card = RunCard.read(run)
    assert (card.spaces, card.format, card.version, card.folder) == (
        SPACES,
        2,
        tandem.__version__,
        str(cards.os.getcwd()),
    )
    assert RunCard.find(run) == card and RunCard.find(run / "nothing") is None
    assert [file.name for file in sorted(run.iterdir())] == ["config.yaml", "run.json"]


def test_any_bit_that_flips_in_a_card_is_noticed_or_means_the_same(run):
    path = run / "run.json"
    content, card = path.read_bytes(), RunCard.read(run)
    for place in range(0, 8 * len(content), 7):  # every byte, and every bit of it in one byte or another
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            assert RunCard.read(run) == card, place  # white space, say
        except CardError as error:
            assert "run.json" in str(error) and "tandem repair" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"{", b"\xff\xfe", b'{"sha256": "x"}', b"[" * 9999])
def test_a_file_that_is_no_card_is_refused_in_one_line(run, content):
    (run / "run.json").write_bytes(content)
    refusal(run, "run.json")


def test_a_card_that_is_missing_beside_its_spare_is_no_older_run(run):
    (run / "checkpoints").mkdir(exist_ok=True)
    (run / "run.json").rename(run / "checkpoints" / "run.json")
    with pytest.raises(CardError, match=r"run\.json"):
        RunCard.find(run)
    (run / "checkpoints" / "run.json").unlink()
    assert RunCard.find(run) is None


def test_a_card_of_a_later_version_says_so(run):
    replace(RunCard.read(run), format=3).write(run)
    with pytest.raises(CardError, match=r"run.json: of format 3, version .* reads format 2"):
        RunCard.read(run)


def test_a_digit_that_was_changed_in_the_configuration_is_refused(run):
    path = run / "config.yaml"
    assert read_config(path).seed == 3
    path.write_text(path.read_text().replace("seed: 3", "seed: 4"))
    assert "sha256" in refusal(run, "config.yaml")
    with pytest.raises(CardError):
        resume_config(run, [])


def test_nothing_that_is_missing_is_filled_in_where_there_is_a_card(run):
    """The card's sum is right here: a repaired file, say."""
    path = run / "config.yaml"
    lines = [line for line in path.read_text().splitlines() if "kwargs" not in line]
    path.write_text("\n".join(lines))
    RunCard.read(run).accepting_only(path.read_text()).write(run)
    with pytest.raises(ConfigError, match=r"envs.kwargs: missing"):
        read_config(path)
    (run / "run.json").unlink()  # as in runs of 0.1 and 0.2, which did not know the setting
    assert read_config(path).envs.kwargs == {}


@pytest.mark.parametrize("crash_at", [0, 1, 2, 3])
def test_a_crash_while_the_configuration_is_replaced_leaves_the_old_or_the_new_one(run, monkeypatch, crash_at):
    """Three files are written: the card that accepts both, the configuration, the card that accepts the new one."""
    written = []

    def crashing(original):
        def write(path, mode="wb"):
            if len(written) == crash_at:
                raise OSError(28, "No space left on device")
            written.append(path.name)
            return original(path, mode)

        return write

    for module in (settings, cards):
        monkeypatch.setattr(module, "whole_file", crashing(module.whole_file))
    larger = resume_config(run, ["budget.total=1_000_000"])
    try:
        save_config(larger, run / "config.yaml")
    except OSError:
        assert crash_at < 3
    assert written == ["run.json", "config.yaml", "run.json"][:crash_at]
    assert (read_config(run / "config.yaml").budget.total == 1_000_000) == (crash_at >= 2)
    monkeypatch.undo()
    save_config(larger, run / "config.yaml")
    assert len(RunCard.read(run).configs) == 1 and read_config(run / "config.yaml") == larger
