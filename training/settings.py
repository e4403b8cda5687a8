"""How presets, files and the command line set the configuration. The one file that knows OmegaConf."""

import math
import re
from dataclasses import asdict, dataclass, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, cast, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .. import configs
from ..durable import whole_file
from ..envs.labelers.programs.address import without_secrets
from ..links import refuse_links
from .config import Config, ConfigError, DamagedConfig
from .keys import keys_at, leaves, mapping_of, mappings, meaning, nearest, shown
from .storage.card import RunCard
from .storage.folder import SAVED_AS, RunFolder
from .storage.older import ADDED
from .storage.trust import URL, check_trust, signed_anew

DEFAULT_PRESET = "quickstart"
COMMAND_LINE = "command line"
MERGE_ERRORS = (OmegaConfBaseException, TypeError, ValueError, OverflowError)  # a list where a mapping must be, say
LARGEST = 2**32  # whole numbers are below it: no count that a machine can hold, and no seed, is larger
CHANGEABLE = (  # at a resume; a section ends in a dot
    "budget.total",  # grows
    "envs.time_limit",  # from the next episodes on
    "envs.processes",
    "envs.timeout",
    "envs.patience",
    "labeler.ahead",
    "labeler.patience",
    "labeler.per_phase",
    "labeler.refusals",
    "labeler.timeout",
    "labeler.retries",
    "labeler.parallel",
    "replay.storage",
    "replay.folder",
    "run.forecast",
    "checkpoint.",
    "evaluate.",
    "log.",
    "device",
    "threads",
    "runtime.",
)


@dataclass(frozen=True)
class Setting:
    """One value that somebody wrote: `source` is the preset, file or command line it stands in."""

    key: str
    value: Any
    source: str

    def refused(self, why: str) -> ConfigError:
        return ConfigError(f"{shown(self.key)}: {why} ({self.source})")


def load_config(arguments: list[str]) -> Config:
    """The configuration that preset names and key=value arguments make: presets in their order, then the key=values.

    Without a preset, `quickstart` is used. Raises ConfigError.
    """
    presets = [argument for argument in arguments if "=" not in argument] or [DEFAULT_PRESET]
    settings = [setting for preset in presets for setting in _preset_settings(preset)]
    return _build(settings + _command_line_settings(arguments))


def resume_config(run_dir: Path, arguments: list[str], is_trusted: bool = False) -> Config:
    """The saved configuration of the run in `run_dir`, with the changes that a resume allows (CHANGEABLE).

    ConfigError for other changes. TrustError where the run names code that is not this user's own, unless `is_trusted` or the
    arguments repeat it; nothing is imported before.
    """
    for preset in (argument for argument in arguments if "=" not in argument):
        raise ConfigError(
            f"{shown(preset)}: a resumed run keeps its own settings, leave the preset out ({COMMAND_LINE})"
        )
    (written, saved), settings = _saved(run_dir / SAVED_AS), _command_line_settings(arguments)
    config = _build(written + settings)
    for setting in settings:
        _check_change(setting, _value(saved, setting.key), _value(config, setting.key))
    check_trust(config, RunCard.find(run_dir), is_trusted, {setting.key for setting in settings}, saved)
    return _moved(config, run_dir)


def resume_notes(run_dir: Path, config: Config) -> list[str]:
    """What a person should know of the changes that `config` makes to the saved one, a line each."""
    was, now = read_config(run_dir / SAVED_AS).envs.time_limit, config.envs.time_limit
    return [f"envs.time_limit: episodes differ from here on, was {was}, is {now}"] if was != now else []


def trusted_config(run_dir: Path, is_trusted: bool = False) -> Config:
    """The saved configuration of a run whose environments are going to be made. TrustError as in `resume_config`."""
    config = read_config(run_dir / SAVED_AS)
    check_trust(config, RunCard.find(run_dir), is_trusted)
    return _moved(config, run_dir)


def read_config(path: Path) -> Config:
    """The configuration that `save_config` wrote. A missing, unknown or unusable key is a DamagedConfig.

    CardError where the run's card says that the file is another than was saved. Imports nothing that it names.
    """
    return _saved(path)[1]


def _saved(path: Path) -> tuple[list[Setting], Config]:
    if not path.is_file() and RunFolder(path.parent).ledger.exists():
        raise DamagedConfig(f"{path}: is missing")
    if not path.is_file():
        raise ConfigError(f"{path.parent}: not a run, it has no {path.name}")
    refuse_links(path.parent)
    try:
        written = _saved_settings(path)
        return written, _build(written)
    except ConfigError as error:
        raise DamagedConfig(str(error)) from error


def save_config(config: Config, path: Path, before: Config | None = None) -> None:
    """Write the whole configuration so that a crash leaves either all of it or nothing under `path`.

    The run's card accepts the old and the new one meanwhile, and then the new one alone. `before`: what was saved until now.
    """
    text, card = to_yaml(config), RunCard.find(path.parent)
    if card:
        card.accepting(text).write(path.parent)
    with whole_file(path, "w") as file:
        file.write(text)
    if card:
        (signed_anew(card, before, config) if before else card).accepting_only(text).write(path.parent)


def to_yaml(config: Config) -> str:
    """From plain values: what a Config holds was checked when it was read, and to check it again takes twice as long."""
    return OmegaConf.to_yaml(OmegaConf.create(asdict(config)))


def preset_files() -> dict[str, str]:
    """Preset name -> text of its YAML file."""
    folder = resources.files(configs)
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    return {file.name.removesuffix(".yaml"): file.read_text() for file in files}


def _preset_settings(preset: str) -> list[Setting]:
    files = preset_files()
    if preset not in files:
        raise ConfigError(f"{shown(preset)}: no such preset ({COMMAND_LINE}), {nearest(preset, files)}")
    return _file_settings(files[preset], f"preset {preset}")


def _check_change(setting: Setting, was: Any, asked: Any) -> None:
    """ConfigError unless a resume may change the setting from what it was to what is asked for."""
    if setting.key == "budget.total" and asked < was:
        raise setting.refused(f"a resumed run's budget can only grow, was {was:_.12g}, got {asked:_.12g}")
    is_free = any(setting.key == key or (key.endswith(".") and setting.key.startswith(key)) for key in CHANGEABLE)
    if not is_free and asked != was:
        may = ", ".join(f"{key}*" if key.endswith(".") else key for key in CHANGEABLE)
        before, now = (shown(without_secrets(one) if setting.key == URL else one) for one in (was, asked))
        raise setting.refused(f"cannot change in a resumed run, was {before}, got {now}; what may: {may}")


def _moved(config: Config, run_dir: Path) -> Config:
    return replace(config, run=replace(config.run, dir=str(run_dir)))


def _saved_settings(path: Path) -> list[Setting]:
    content, card = path.read_bytes(), RunCard.find(path.parent)
    if card:
        card.check(content, path)
    try:
        settings = _file_settings(content.decode(), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not readable as text: {_one_line(error)}") from error
    keys = {setting.key for setting in settings}
    expected = {key for written in keys for key in keys_at(written)} | leaves().keys()
    # A mapping stands there itself only where it is empty.
    filled = {mapping for mapping in mappings() if any(key.startswith(mapping + ".") for key in keys)}
    later = {key for added in ADDED.values() for key in added} if card is None else set()
    missing = expected - keys - filled - later
    if missing:
        raise ConfigError(f"{min(missing)}: missing ({path})")
    return settings


def _file_settings(text: str, source: str) -> list[Setting]:
    try:
        content = OmegaConf.to_container(OmegaConf.create(text))
    except Exception as error:  # a YAML reader raises of every type, also for texts of a few letters
        raise ConfigError(f"{source}: not readable as YAML: {_one_line(error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: must be a mapping of keys to values, got {type(content).__name__}")
    return [one for name, value in content.items() for one in _flat(Setting(f"{name}", value, source))]


def _command_line_settings(arguments: list[str]) -> list[Setting]:
    settings = [_parse(argument) for argument in arguments if "=" in argument]
    keys = [setting.key for setting in settings]
    for setting in settings:
        if keys.count(setting.key) > 1:
            raise setting.refused("given twice")
        for key in keys:
            if key.startswith(setting.key + "."):
                raise setting.refused(f"is part of {key}, which is given too: give one of the two")
    return [one for setting in settings for one in _flat(setting)]


def _parse(argument: str) -> Setting:
    key, text = argument.split("=", 1)
    setting = Setting(key, text, COMMAND_LINE)
    if leaves().get(key) is str:
        return setting  # text stays as it is written: run.name=007 is not the number 7
    if text.startswith("{"):  # {price:1} is what people write, {price: 1} what YAML reads
        text = re.sub(r"([{,]\s*\w+):(?=\S)", r"\1: ", text)
    try:
        value = cast(dict, OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"])))["value"]
    except Exception as error:  # a YAML reader raises of every type
        raise setting.refused(f"{shown(text)} is not readable as a value") from error
    return replace(setting, value=value)


def _flat(setting: Setting) -> list[Setting]:
    """A nested mapping as settings under their full keys. An empty one stays where it empties a mapping of sections."""
    value, known = setting.value, keys_at(setting.key)
    is_mapping = setting.key in mappings()
    is_entry = is_dataclass(mappings().get(setting.key.rpartition(".")[0]))
    if isinstance(value, dict) and (value if is_mapping or is_entry else setting.key not in known):
        inside = [Setting(f"{setting.key}.{name}", inner, setting.source) for name, inner in value.items()]
        return [one for inner in inside for one in _flat(inner)]
    _check_key(setting)
    return [setting]


def _check_key(setting: Setting) -> None:
    known = keys_at(setting.key)
    if setting.key in known:
        return
    if mappings().get(mapping_of(setting.key)) is Any:
        raise setting.refused("must be an argument's name, one word without signs")
    inside = [key for key in known if key.startswith(setting.key + ".")]
    if inside and setting.key:
        example = next((key for key in inside if key.endswith(".name")), inside[0])
        raise setting.refused(f"is a section, set a key inside it, such as {example}=...")
    raise ConfigError(f"{shown(setting.key)}: no such key ({setting.source}), {nearest(setting.key, known)}")


def _value(config: Config, key: str) -> Any:
    """What stands under a full key, None in an entry that a mapping has not."""
    found = config
    for name in key.split("."):
        found = found.get(name) if isinstance(found, dict) else getattr(found, name, None)
    return found


def _build(settings: list[Setting]) -> Config:
    """Later settings win. Raises ConfigError with the key and source of the first value that cannot be used."""
    kept = _without_emptied(settings)
    tree, written = _merged(OmegaConf.structured(Config), kept), {setting.key: setting for setting in kept}
    return _section(Config, "", cast(dict, OmegaConf.to_container(tree, resolve=True)), written)


def _without_emptied(settings: list[Setting]) -> list[Setting]:
    """Without the entries of a mapping that a later setting says is empty: merging nothing would leave them."""
    kept: list[Setting] = []
    for setting in settings:
        if setting.key in mappings() and setting.value == {}:
            kept = [one for one in kept if not one.key.startswith(setting.key + ".")]
        else:
            kept.append(setting)
    return kept


def _merged(tree, settings: list[Setting]):
    """The tree with the settings: all in one, which is quick; where that fails one by one, to know whose the fault is."""
    for setting in settings:
        _check_plain(setting)
    try:
        return _merge(tree, settings)
    except MERGE_ERRORS:
        for setting in settings:
            try:
                tree = _merge(tree, [setting])
            except MERGE_ERRORS as error:
                raise _wrong(setting) from error
        return tree


def _merge(tree, settings: list[Setting]):
    layer = OmegaConf.create()
    for setting in settings:
        OmegaConf.update(layer, setting.key, setting.value)
    merged = OmegaConf.merge(tree, layer)
    for setting in settings:
        OmegaConf.select(merged, setting.key)  # a ${...} in the value that leads nowhere fails here
    return merged


def _check_plain(setting: Setting) -> None:
    """ConfigError for what no setting can be, whatever its type: code, references, numbers that are none."""
    if _has_reference(setting.value):
        raise setting.refused(f"${{...}} is not filled in, got {shown(setting.value)}")
    is_number = keys_at(setting.key)[setting.key] is bool and isinstance(setting.value, int | float)
    if not _is_plain(setting.value) or (is_number and setting.value not in (0, 1)):
        raise _wrong(setting)


def _has_reference(value: Any) -> bool:
    """Whether OmegaConf would put something else in place of a value or of a part of it: an environment variable, say."""
    if isinstance(value, dict):
        return any(_has_reference(part) for pair in value.items() for part in pair)
    return any(map(_has_reference, value)) if isinstance(value, list) else isinstance(value, str) and "${" in value


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(name) and _is_plain(inner) for name, inner in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        return value != "???" and "\0" not in value and not re.search("[\ud800-\udfff]", value)
    if isinstance(value, int):
        return abs(value) < LARGEST
    return value is None or (isinstance(value, float) and math.isfinite(value))


def _wrong(setting: Setting) -> ConfigError:
    hint, value = keys_at(setting.key)[setting.key], setting.value
    got = repr(value) if isinstance(value, str) and len(value) <= 200 else shown(value)
    return setting.refused(f"must be {meaning(hint)}, got {got}")


def _section(section: type, prefix: str, values: dict, written: dict[str, Setting]):
    """A dataclass made from its values; what it refuses is reported under the full key and its source."""
    made = {}
    for name, hint in get_type_hints(section).items():
        value, key = values[name], prefix + name
        if isinstance(hint, type) and is_dataclass(hint):
            value = _section(hint, f"{key}.", value, written)
        elif is_dataclass(mappings().get(key)):
            value = {entry: _section(mappings()[key], f"{key}.{entry}.", one, written) for entry, one in value.items()}
        elif value == "???":
            raise ConfigError(f"{key}: must be given")
        made[name] = tuple(value) if isinstance(value, list) else value
    try:
        return section(**made)
    except ValueError as error:
        message = prefix + _one_line(error)
        setting = written.get(message.split(":")[0])
        raise ConfigError(f"{message} ({setting.source})" if setting else message) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
