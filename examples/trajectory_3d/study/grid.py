"""Grids of settings and lists of seeds, as the command line writes them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from m.config import ConfigError
from m.config.yaml_io import parse_yaml

_OPENING, _CLOSING = "[{", "]}"
_SEED_KEYS = ("training.seed", "dataset.seed")


@dataclass(frozen=True)
class Axis:
    """One setting and the values that a grid gives it.

    Attributes:
        key: dotted, as in the configuration.
        texts: values as written, in YAML, at least one, all different.
    """

    key: str
    texts: tuple[str, ...]

    @property
    def values(self) -> tuple[Any, ...]:
        """The values as YAML reads them."""
        return tuple(parse_yaml(text, source=f"--grid {self.key}") for text in self.texts)


def parse_axis(text: str) -> Axis:
    """Read ``key=value,value``; commas inside brackets, braces and quotes belong to their value.

    Raises:
        ConfigError: not of this form, a bracket or quote left open, an empty value, or one that comes twice.
    """
    key, equals, listed = text.partition("=")
    key = key.strip().lstrip("-")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--grid '{text}' is not of the form key.subkey=value,value")
    if key in _SEED_KEYS:
        raise ConfigError(f"--grid {key}: seeds are no axis of a grid, but repetitions of it; use --seeds")
    if key == "name":
        raise ConfigError("--grid name: trials are named by the study itself")
    axis = Axis(key, tuple(split_values(listed, source=f"--grid '{text}'")))
    seen: list[Any] = []
    for written, value in zip(axis.texts, axis.values, strict=True):
        if any(value == other and type(value) is type(other) for other in seen):
            raise ConfigError(f"--grid {key}: the value {written} comes twice")
        seen.append(value)
    return axis


def split_values(text: str, *, source: str = "list") -> list[str]:
    """Split at the commas that stand outside of brackets, braces and quotes; blanks around values go.

    Raises:
        ConfigError: an empty value, or a bracket or quote without its partner.
    """
    values: list[str] = []
    start, place = 0, 0
    expected: list[str] = []  # what closes the brackets that are open
    while place < len(text):
        letter = text[place]
        begins = not text[start:place].strip()
        if letter in "'\"" and (begins or (expected and text[:place].rstrip()[-1:] in {*",[{:"})):
            place = _end_of_quote(text, place, source)
        elif letter in _OPENING and (begins or expected):
            expected.append(_CLOSING[_OPENING.index(letter)])
        elif letter in _CLOSING and expected and expected.pop() != letter:
            raise ConfigError(f"{source}: '{letter}' closes nothing")
        elif letter == "," and not expected:
            values.append(text[start:place].strip())
            start = place + 1
        place += 1
    if expected:
        raise ConfigError(f"{source}: {expected[-1]} is missing at the end")
    values.append(text[start:].strip())
    if not all(values):
        raise ConfigError(f"{source}: there is an empty value; write null, '' or [] for one that is meant")
    return values


def _end_of_quote(text: str, start: int, source: str) -> int:
    """Place of the quotation mark that ends what begins at ``start``, by YAML's two ways of escaping."""
    mark = text[start]
    place = start + 1
    while place < len(text):
        if mark == '"' and text[place] == "\\":
            place += 1
        elif text[place] == mark:
            if mark == '"' or text[place + 1 : place + 2] != mark:
                return place
            place += 1
        place += 1
    raise ConfigError(f"{source}: {mark} is missing at the end")


def parse_grid(texts: Sequence[str]) -> tuple[Axis, ...]:
    """Read all axes.

    Raises:
        ConfigError: see `parse_axis`; or a key that has two axes.
    """
    axes = tuple(parse_axis(text) for text in texts)
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"--grid {key} comes twice; write all its values behind one key=")
    return axes


def combinations(axes: Sequence[Axis]) -> Iterator[dict[str, str]]:
    """Every choice of one value an axis, key -> text; one empty choice where there are no axes."""
    keys = [axis.key for axis in axes]
    for chosen in itertools.product(*(axis.texts for axis in axes)):
        yield dict(zip(keys, chosen, strict=True))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read ``--seeds``: a number N means 0 to N - 1, a list with a comma means those: ``0,7`` or ``7,``.

    Raises:
        ConfigError: no whole numbers of 0 or more, none at all, or one that comes twice.
    """
    parts = [part.strip() for part in text.removesuffix(",").split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--seeds takes how many (3) or which (0,7; one alone: 7,), got '{text}'")
    numbers = tuple(int(part) for part in parts)
    if "," not in text:
        numbers = tuple(range(numbers[0]))
    if not numbers:
        raise ConfigError("--seeds 0 is no seed at all; '0,' is the seed 0")
    if len(set(numbers)) != len(numbers):
        raise ConfigError(f"--seeds {text}: a seed comes twice")
    return numbers
