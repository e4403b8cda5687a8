"""How presets, files and the command line set the configuration. The one file that knows OmegaConf."""

import difflib
import math
import re
from dataclasses import dataclass, is_dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from types import NoneType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .. import configs
from ..durable import whole_file
from .config import Config, ConfigError
from .storage.folder import SAVED_AS

DEFAULT_PRESET = "quickstart"
# Settings that versions 0.1 and 0.2 did not know: a run of theirs goes on with the defaults.
ADDED = (
    "checkpoint.every_minutes",
    "checkpoint.keep",
    "envs.kwargs",
    "envs.patience",
    "envs.timeout",
    "evaluate.borrow",
    "labeler.patience",
    "log.every_updates",
    "replay.latents",
)
COMMAND_LINE = "command line"
# Where a resumed run may differ from its saved configuration: full keys, and sections that end with a dot.
CHANGEABLE = (
    "budget.total",
    "envs.time_limit",
    "envs.processes",
    "envs.timeout",
    "envs.patience",
    "labeler.patience",
    "evaluate.",
    "log.",
    "checkpoint.",
    "device",
    "threads",
)


@dataclass(frozen=True)
class Setting:
    """One value that somebody wrote: `source` is the preset, file or command line it stands in."""

    key: str
    value: Any
    source: str

    def refused(self, why: str) -> ConfigError:
        return ConfigError(f"{self.key}: {why} ({self.source})")


def load_config(arguments: list[str]) -> Config:
    """The configuration that preset names and key=value arguments make: presets in their order, then the key=values.

    Without a preset, `quickstart` is used. Raises ConfigError.
    """
    presets = [argument for argument in arguments if "=" not in argument] or [DEFAULT_PRESET]
    settings = [setting for preset in presets for setting in _preset_settings(preset)]
    return _build(settings + _command_line_settings(arguments))


def resume_config(run_dir: Path, arguments: list[str]) -> Config:
    """The saved configuration of the run in `run_dir`, with changes to what may change: see CHANGEABLE."""
    saved = read_config(run_dir / SAVED_AS)
    for preset in (argument for argument in arguments if "=" not in argument):
        raise ConfigError(f"{preset}: a resumed run keeps its own settings, leave the preset out ({COMMAND_LINE})")
    settings = _command_line_settings(arguments)
    config = _build(_saved_settings(run_dir / SAVED_AS) + settings)
    for setting in settings:
        was, asked = (_value(one, setting.key) for one in (saved, config))
        if setting.key == "budget.total" and asked < was:
            raise setting.refused(f"a resumed run's budget can only grow, was {was:_.12g}, got {asked:_.12g}")
        if asked != was and not _may_change(setting.key):
            raise setting.refused(
                f"cannot change in a resumed run, was {was!r}, got {asked!r}; what can: {', '.join(CHANGEABLE)}"
            )
    return replace(config, run=replace(config.run, dir=str(run_dir)))  # the folder may have been moved


def _may_change(key: str) -> bool:
    return any(key.startswith(one) if one.endswith(".") else key == one for one in CHANGEABLE)


def read_config(path: Path) -> Config:
    """The configuration that `save_config` wrote. A missing, unknown or unusable key is a ConfigError."""
    return _build(_saved_settings(path))


def save_config(config: Config, path: Path) -> None:
    """Write the whole configuration so that a crash leaves either all of it or nothing under `path`."""
    with whole_file(path, "w") as file:
        file.write(to_yaml(config))


def to_yaml(config: Config) -> str:
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def preset_files() -> dict[str, str]:
    """Preset name -> text of its YAML file."""
    folder = resources.files(configs)
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    return {file.name.removesuffix(".yaml"): file.read_text() for file in files}


@cache
def leaves(section: type = Config, prefix: str = "") -> dict[str, Any]:
    """Full key -> type of everything that can be set in a section; a mapping of named sections is one key."""
    found = {}
    for name, hint in get_type_hints(section).items():
        found |= leaves(hint, f"{prefix}{name}.") if is_dataclass(hint) else {prefix + name: hint}
    return found


@cache
def mappings() -> dict[str, type]:
    """Full key -> section of an entry, for every mapping of named sections."""
    return {key: get_args(hint)[1] for key, hint in leaves().items() if get_origin(hint) is dict and not _is_free(hint)}


def _is_free(hint: Any) -> bool:
    """Whether it is of a mapping with values of any kind under any names."""
    return get_origin(hint) is dict and get_args(hint)[1] is Any


def keys_at(key: str) -> dict[str, Any]:
    """All leaves, and those of the mapping's entry that `key` lies in."""
    known = leaves()
    for mapping, section in mappings().items():
        if key.startswith(mapping + "."):
            entry = key.removeprefix(mapping + ".").split(".")[0]
            known = known | leaves(section, f"{mapping}.{entry}.")
    return known


def _preset_settings(preset: str) -> list[Setting]:
    files = preset_files()
    if preset not in files:
        raise ConfigError(f"{preset}: no such preset ({COMMAND_LINE}), {nearest(preset, files)}")
    return _file_settings(files[preset], f"preset {preset}")


def _saved_settings(path: Path) -> list[Setting]:
    if not path.is_file():
        raise ConfigError(f"{path.parent}: not a run, it has no {path.name}")
    settings = _file_settings(path.read_text(), str(path))
    keys = {setting.key for setting in settings}
    expected = {key for written in keys for key in keys_at(written)} | leaves().keys()
    # A mapping stands there itself only where it is empty.
    filled = {mapping for mapping in mappings() if any(key.startswith(mapping + ".") for key in keys)}
    missing = expected - keys - filled - set(ADDED)
    if missing:
        raise ConfigError(f"{min(missing)}: missing ({path})")
    return settings


def _file_settings(text: str, source: str) -> list[Setting]:
    try:
        content = OmegaConf.to_container(OmegaConf.create(text), resolve=True)
    except (yaml.YAMLError, OmegaConfBaseException) as error:
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
    if text.startswith("{"):
        text = re.sub(r":(?=\S)", ": ", text)  # {price:1} is what people write, {price: 1} what YAML reads
    try:
        value = cast(dict, OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"])))["value"]
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise setting.refused(f"{text!r} is not readable as a value") from error
    return replace(setting, value=value)


def _flat(setting: Setting) -> list[Setting]:
    """A nested mapping as settings under their full keys. An empty one stays where it empties a mapping of sections."""
    value, known = setting.value, keys_at(setting.key)
    is_mapping = setting.key in mappings()
    is_entry = setting.key.rpartition(".")[0] in mappings()
    if isinstance(value, dict) and (value if is_mapping or is_entry else setting.key not in known):
        inside = [Setting(f"{setting.key}.{name}", inner, setting.source) for name, inner in value.items()]
        return [one for inner in inside for one in _flat(inner)]
    _check_key(setting)
    return [setting]


def _check_key(setting: Setting) -> None:
    known = keys_at(setting.key)
    if setting.key in known:
        return
    inside = [key for key in known if key.startswith(setting.key + ".")]
    if inside and setting.key:
        example = next((key for key in inside if key.endswith(".name")), inside[0])
        raise setting.refused(f"is a section, set a key inside it, such as {example}=...")
    raise ConfigError(f"{setting.key}: no such key ({setting.source}), {nearest(setting.key, known)}")


def nearest(word: str, known) -> str:
    """What to say of a word that nobody knows: the known one that is most like it."""
    return f"did you mean {closest(word, known) or difflib.get_close_matches(word, known, 1, 0.0)[0]}?"


def closest(word: str, known) -> str | None:
    """The known word that is meant; the last part alone counts too, so that label_share finds allocator.label_share."""
    short = {name.rsplit(".", 1)[-1]: name for name in known}
    if word in short:
        return short[word]
    close = difflib.get_close_matches(word, known, 1, 0.7) or difflib.get_close_matches(word, short, 1, 0.7)
    return (close[0] if close[0] in known else short[close[0]]) if close else None


def _value(config: Config, key: str) -> Any:
    """What stands under a full key, None in an entry that a mapping has not."""
    found = config
    for name in key.split("."):
        found = found.get(name) if isinstance(found, dict) else getattr(found, name, None)
    return found


def _build(settings: list[Setting]) -> Config:
    """Later settings win. Raises ConfigError with the key and source of the first value that cannot be used."""
    kept = _without_replaced(settings)
    tree, written = _merged(OmegaConf.structured(Config), kept), {setting.key: setting for setting in kept}
    return _section(Config, "", cast(dict, OmegaConf.to_container(tree, resolve=True)), written)


def _without_replaced(settings: list[Setting]) -> list[Setting]:
    """Without what a later setting empties or replaces in a mapping: merging would leave it."""
    kept: list[Setting] = []
    for setting in settings:
        if setting.key in mappings() and setting.value == {}:
            kept = [one for one in kept if not one.key.startswith(setting.key + ".")]
        else:
            is_free = _is_free(leaves().get(setting.key))
            kept = [*(one for one in kept if not is_free or one.key != setting.key), setting]
    return kept


def _merged(tree, settings: list[Setting]):
    """The tree with the settings: all in one, which is quick; where that fails one by one, to know whose the fault is."""
    for setting in settings:
        _check_finite(setting)
    try:
        return _merge(tree, settings)
    except OmegaConfBaseException:
        for setting in settings:
            try:
                tree = _merge(tree, [setting])
            except OmegaConfBaseException as error:
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


def _check_finite(setting: Setting) -> None:
    numbers = setting.value if isinstance(setting.value, list | tuple) else [setting.value]
    if any(isinstance(number, float) and not math.isfinite(number) for number in numbers) or "???" in numbers:
        raise _wrong(setting)


def _wrong(setting: Setting) -> ConfigError:
    hint = keys_at(setting.key)[setting.key]
    return setting.refused(f"must be {_meaning(hint)}, got {setting.value!r}")


def _section(section: type, prefix: str, values: dict, written: dict[str, Setting]):
    """A dataclass made from its values; what it refuses is reported under the full key and its source."""
    made = {}
    for name, hint in get_type_hints(section).items():
        value, key = values[name], prefix + name
        if isinstance(hint, type) and is_dataclass(hint):
            value = _section(hint, f"{key}.", value, written)
        elif key in mappings():
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


def _meaning(hint) -> str:
    """A type in the words of somebody who has to write a value of it."""
    plain = {int: "a whole number (1_000_000, not 1e6)", float: "a finite number", bool: "true or false", str: "text"}
    if hint in plain:
        return plain[hint]
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    if _is_free(hint):
        return "a mapping such as {size:3}"
    if get_origin(hint) is dict:
        return "sections by name such as {cheap:{price:1}}"
    if get_origin(hint) is tuple:
        return "a list of numbers such as [1.0,0.5]"
    return " or ".join("null" if part is NoneType else _meaning(part) for part in get_args(hint))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
