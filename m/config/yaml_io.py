"""YAML files of configurations: safe loading, atomic writing, errors that name file and line."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from m.config.schema import ConfigError, apply_overrides, from_dict

T = TypeVar("T")


def parse_yaml(text: str, *, source: str) -> Any:
    """Parse YAML text with the safe loader (no object construction).

    Raises:
        ConfigError: malformed YAML, with line and column.
    """
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{source}: {where}{error.problem or error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: {error}") from error


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ConfigError: the file is missing, unreadable, malformed, or holds no mapping.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, not a configuration; name the YAML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: no configuration, it is not UTF-8 text ({error})") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    data = parse_yaml(text, source=str(path))
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must hold a mapping of keys, got {type(data).__name__}")
    return data


def load_config(cls: type[T], path: Path | str, overrides: Iterable[str] = ()) -> T:
    """Read a YAML file into a configuration dataclass, with ``dotted.key=value`` overrides on top.

    Raises:
        ConfigError: see `read_yaml`, `apply_overrides` and `from_dict`.
    """
    overrides = list(overrides)
    source = f"{path} with {' '.join(overrides)}" if overrides else str(path)
    return from_dict(cls, apply_overrides(read_yaml(path), overrides), source=source)


class _PlainDumper(yaml.SafeDumper):
    """Writes a value that occurs twice twice, instead of an anchor and a reference to it."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  (the interface of the base class)
        return True


def dump_yaml(data: Any) -> str:
    """YAML text of plain data, keys in the order given."""
    return str(yaml.dump(data, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True))


def write_yaml(path: Path | str, data: Any) -> None:
    """Write plain data as YAML, to a temporary name first so that no reader sees half a file."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(dump_yaml(data), encoding="utf-8")
    temporary.replace(path)
