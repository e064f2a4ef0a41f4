"""Reading files that may hold anything: what is wrong with one is an answer, never an exception."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_LARGEST = 8 * 2**20
_MOST_VALUES = 200_000
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built


def read_mapping(path: Path) -> tuple[dict[str, Any], str | None]:
    """Content of a YAML or JSON file.

    Returns:
        The mapping, empty when there is none, and what is wrong; None for a sound file and for a missing one.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            return {}, f"{path.name}: larger than {_LARGEST // 2**20} MiB, not read"
        text = raw.decode()
        content = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_Loader)
        if path.suffix != ".json" and "&" in text:  # only aliases let few bytes become many values
            _count(content)
    except FileNotFoundError:
        return {}, None
    except OSError as error:
        return {}, f"{path.name}: cannot be read ({error.strerror or error})"
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, yaml.YAMLError) as error:
        return {}, f"{path.name}: corrupt ({type(error).__name__})"
    if not isinstance(content, dict):
        return {}, f"{path.name}: corrupt (holds no mapping)"
    return {str(key): value for key, value in content.items()}, None


def _count(content: object) -> None:
    """Refuse what aliases blow up, and what contains itself.

    Raises:
        ValueError: too many values.
    """
    pending, seen = [content], 0
    while pending:
        value = pending.pop()
        seen += 1
        if seen > _MOST_VALUES:
            raise ValueError("too many values")
        if isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list | tuple | set):
            pending.extend(value)


def inside(content: object, *keys: str) -> Any:
    """The value at a path of keys; None where the path ends early."""
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def text_at(content: object, *keys: str) -> str | None:
    """A text at a path of keys, None where there is another thing."""
    value = inside(content, *keys)
    return value if isinstance(value, str) and value else None


def number_at(content: object, *keys: str) -> float | None:
    """A number at a path of keys, also NaN and infinity; None where there is another thing."""
    value = inside(content, *keys)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def count_at(content: object, *keys: str) -> int | None:
    """A whole number from 0 at a path of keys."""
    value = inside(content, *keys)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def mapping_at(content: object, *keys: str) -> dict[str, Any]:
    """A mapping at a path of keys, empty where there is another thing."""
    value = inside(content, *keys)
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else {}
