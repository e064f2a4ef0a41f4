"""What names of columns mean: their words, and the units that they end in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_BRACKETS = re.compile(r"[\[({<]([^\])}>]*)[\])}>]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS = re.compile(r"[a-z0-9µμ]+")

_LENGTHS: dict[str, str] = {
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), "nm"),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre"), "um"),
    **dict.fromkeys(("micrometers", "micrometres"), "um"),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), "mm"),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), "cm"),
    **dict.fromkeys(("dm", "decimeter", "decimetre"), "dm"),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), "m"),
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre", "kilometres"), "km"),
    **dict.fromkeys(("inch", "inches"), "in"),
    **dict.fromkeys(("ft", "foot", "feet"), "ft"),
    **dict.fromkeys(("yd", "yard", "yards"), "yd"),
    **dict.fromkeys(("mile", "miles"), "mi"),
    **dict.fromkeys(("nmi",), "nmi"),
    **dict.fromkeys(("au",), "au"),
}
_TIMES: dict[str, str] = {
    **dict.fromkeys(("ns", "nsec", "nsecs", "nano", "nanos", "nanosec", "nanosecond", "nanoseconds"), "ns"),
    **dict.fromkeys(("us", "µs", "μs", "usec", "usecs", "micros", "microsec"), "us"),
    **dict.fromkeys(("microsecond", "microseconds"), "us"),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisec", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "day"),
}
_ANGLES: dict[str, float] = {  # degrees
    **dict.fromkeys(("deg", "degree", "degrees", "°"), 1.0),
    **dict.fromkeys(("rad", "radian", "radians"), 57.29577951308232),
    "e7": 1e-7,
}


@dataclass(frozen=True)
class Name:
    """A column's name, taken apart.

    Attributes:
        words: in lower case, without the unit: ``('location', 'lat')`` of ``location-lat``.
        unit: as written in brackets or as the last word, in lower case; empty where there is none.
    """

    words: tuple[str, ...]
    unit: str

    @property
    def key(self) -> str:
        """The words in one, so that ``track_id``, ``TrackID`` and ``track id`` are the same."""
        return "".join(self.words)

    @property
    def length(self) -> str | None:
        """The unit as a key of `LENGTH_UNITS`."""
        return _LENGTHS.get(self.unit, "in" if self.unit == "in" else None)

    @property
    def time(self) -> str | None:
        """The unit as a key of `TIME_UNITS`."""
        return _TIMES.get(self.unit)

    @property
    def degrees(self) -> float | None:
        """Degrees in the unit, for angles."""
        return _ANGLES.get(self.unit)


def word_list(text: str) -> tuple[str, ...]:
    """Words of a vocabulary written in one text, so that it stays readable."""
    return tuple(text.split())


@lru_cache(maxsize=4096)
def parse_name(text: str) -> Name:
    """Take a name apart: ``p_RS_R_x [m]`` is the words p, rs, r, x and the unit m."""
    bracket = _BRACKETS.search(text)
    unit = bracket[1].strip().lower() if bracket else ""
    words = _WORDS.findall(_CAMEL.sub("_", _BRACKETS.sub(" ", text)).lower())
    if not unit and len(words) > 1 and (words[-1] in _LENGTHS or words[-1] in _TIMES or words[-1] in _ANGLES):
        unit = words.pop()
    return Name(tuple(words), unit)


def length_unit(text: str) -> str | None:
    """A word for a length as a key of `LENGTH_UNITS`, such as ``m`` for ``Metres``."""
    return Name((), text.strip().lower()).length
