"""Mappings to frozen dataclasses and back.

``jsonargparse`` does the type checking and conversion of leaves (``"1e-4"`` becomes a float, a
misspelt ``Literal`` is refused). It is imported only when a mapping is parsed, since importing it
costs about half a second; what it does not do is done here: naming the nearest valid key, refusing
``null`` where the type has no ``None``, and turning every failure into one `ConfigError` that says
where.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says which key, what is wrong, what to do."""


def to_dict(config: Any) -> dict[str, Any]:
    """Plain nested dict of a configuration dataclass, tuples as lists (so YAML reads it back)."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def from_dict(cls: type[T], mapping: Mapping[str, Any], *, source: str = "configuration") -> T:
    """Build a configuration dataclass from a nested mapping.

    Args:
        cls: the dataclass to build; nested dataclasses are built in turn.
        mapping: keys as in the dataclass; missing keys take the dataclass defaults.
        source: what the mapping came from, for messages (a file name).

    Raises:
        ConfigError: unknown key (with the nearest valid one), wrong type, or a value that the
            dataclass itself refuses.
    """
    mapping = _expanded(cls, mapping)
    _check_keys(cls, mapping, prefix="", source=source)
    # Imported here because it costs half a second, more than a whole `--help` may take.
    import jsonargparse  # noqa: PLC0415

    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "config")
    try:
        parsed = parser.parse_object({"config": _plain(mapping)})
        built = parser.instantiate(parsed)
    except (jsonargparse.ArgumentError, ValueError, TypeError) as error:
        raise ConfigError(f"{source}: {_clean(str(error))}") from error
    return typing.cast("T", built.config)


def _expanded(cls: type, mapping: Any) -> Any:
    """Give a part that is stated by one word the key that the word belongs to.

    A configuration dataclass with a class variable ``shorthand = "mode"`` may be written ``part: fsdp`` in
    place of ``part: {mode: fsdp}``.
    """
    if not isinstance(mapping, Mapping):
        return mapping
    hints = typing.get_type_hints(cls)
    result = dict(mapping)
    for key, value in mapping.items():
        kind = hints.get(key)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            word = getattr(kind, "shorthand", None)
            worded = word is not None and isinstance(value, str)
            result[key] = {word: value} if worded else _expanded(kind, value)
    return result


def _clean(message: str) -> str:
    """Flatten jsonargparse's message and take its wrapper key out: ``config.a.b`` -> ``a.b``."""
    return " ".join(message.replace('"config.', '"').replace("Parser key", "key").split())


def _check_keys(cls: type, mapping: Any, *, prefix: str, source: str) -> None:
    if not isinstance(mapping, Mapping):
        where = prefix.rstrip(".") or "the top level"
        raise ConfigError(f"{source}: {where} must be a mapping of keys, got {type(mapping).__name__}")
    hints = typing.get_type_hints(cls)
    fields = {field.name for field in dataclasses.fields(cls)}
    for key, value in mapping.items():
        if key not in fields:
            raise ConfigError(
                f"{source}: unknown key '{prefix}{key}'{nearest_hint(str(key), fields, prefix)}"
            )
        kind = hints[key]
        if dataclasses.is_dataclass(kind):
            _check_keys(typing.cast("type", kind), value, prefix=f"{prefix}{key}.", source=source)
        elif value is None and not _allows_none(kind):
            raise ConfigError(f"{source}: '{prefix}{key}' may not be null; leave it out to take the default")


def _allows_none(kind: Any) -> bool:
    if kind is Any or kind is type(None):
        return True
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return any(_allows_none(option) for option in typing.get_args(kind))
    return False


def nearest_hint(name: str, known: Iterable[str], prefix: str = "") -> str:
    """End of an error message: the nearest valid name, or all of them when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{prefix}{near[0]}'?"
    return f"; valid: {', '.join(names)}"


def known_keys(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every dotted leaf key of a configuration dataclass with its default value."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind):
            yield from known_keys(typing.cast("type", kind), f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, _default(field)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return dataclasses.MISSING


def apply_overrides(mapping: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return a deep copy of ``mapping`` with ``dotted.key=value`` overrides set.

    Values are read as YAML, so ``training.max_steps=100``, ``dataset.type_weights={helical: 1.0}``
    and ``model.attention.n_kv_heads=null`` all mean what they look like. A key below one that is null, such
    as ``dataset.augmentation.reverse=1.0``, switches that on, its other keys at their defaults. Whether the
    key exists and the value fits is checked when the mapping is parsed.

    Raises:
        ConfigError: an override without ``=``, with an empty key, or through a key that is no mapping.
    """
    from m.config.yaml_io import parse_yaml  # noqa: PLC0415  (yaml_io builds on this module)

    result: dict[str, Any] = _plain(mapping)
    for override in overrides:
        key, separator, text = override.partition("=")
        path = key.strip().lstrip("-").split(".")
        if not separator or not all(path):
            raise ConfigError(f"override '{override}' is not of the form key.subkey=value")
        node = result
        for part in path[:-1]:
            child = node.get(part)
            if child is None:  # absent, or switched off by null: its other keys have their defaults
                child = node[part] = {}
            if not isinstance(child, dict):
                raise ConfigError(f"override '{override}': '{part}' holds a value, not further keys")
            node = child
        node[path[-1]] = parse_yaml(text, source=f"override '{override}'")
    return result
