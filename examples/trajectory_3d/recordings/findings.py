"""What is odd in a recording: one sentence, how often, where first, and what was done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "rollover",
    "order",
    "lost",
    "repeated rows",
    "conflicting rows",
    "time unit",
    "jitter",
    "missing samples",
    "gap",
    "resolution",
    "repeated positions",
    "outlier",
    "jump",
    "offset",
]
LEFT = "left as it is"


@dataclass(frozen=True)
class Finding:
    """One kind of oddity in one track.

    Attributes:
        kind: which.
        count: how many rows, steps, gaps or axes show it.
        sample: the first of them: place in the order of the file, from 0; None where it is not known.
        text: what was found, in words and numbers.
        action: what was done about it, in words.
    """

    kind: Kind
    count: int
    sample: int | None
    text: str
    action: str = LEFT

    def __str__(self) -> str:
        place = "" if self.sample is None else f" (first at sample {self.sample})"
        return f"{self.text}{place}: {self.action}"


def seconds_text(seconds: float) -> str:
    """A duration for people: ``0.48 s``, ``15.9 min``, ``2.5 h``, ``3.1 days``."""
    for size, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: ``1 gap``, ``3 gaps``."""
    return f"{count} {one if count == 1 else many or one + 's'}"
