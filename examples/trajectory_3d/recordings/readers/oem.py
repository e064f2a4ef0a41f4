"""CCSDS orbit ephemeris messages as text (key-value notation).

Source of the format: CCSDS 502.0-B-3, "Orbit Data Messages", section 5.
"""

from __future__ import annotations

import math
import re

from examples.trajectory_3d.recordings.ccsds import REQUIRED, Segment, tracks_of
from examples.trajectory_3d.recordings.epochs import iso_ns
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.text_rows import Row, rows, shown
from examples.trajectory_3d.recordings.trajectory import Trajectory

_PAIR = re.compile(r"\s*([A-Z_0-9]+)\s*=\s*(.*?)\s*")


def sniff(source: Source) -> Match:
    """Certain by its first keyword."""
    first = (source.head_text or "").lstrip()
    return Match.CERTAIN if re.match(r"CCSDS_OEM_VERS\s*=", first) else Match.NO


@register_format("oem", "CCSDS OEM ephemeris (text)", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """One track for each segment: position in km, velocity in km/s, acceleration in km/s^2 if there is any.

    Epochs in TAI and TT are turned into GPS time, which keeps step with them. Covariances are left out.

    Raises:
        RecordingError: a line that is not as specified, or metadata or a covariance that does not end.
    """
    reader = _Reader()
    row = None
    for row in rows(source, comment=None):
        reader.take(row)
    if row is not None and reader.part in {"META", "COVARIANCE"}:
        raise row.fault("the file ends", expected=f"{reader.part}_STOP")
    return tracks_of(source.path, reader.segments, options)


class _Reader:
    """Takes one line after the other; `part` says what the next may be."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.part = "HEADER"

    def take(self, row: Row) -> None:
        word = row.cells[0]
        if word == "COMMENT":
            return
        if word in {"META_START", "META_STOP", "COVARIANCE_START", "COVARIANCE_STOP"}:
            self._turn(row, word)
        elif self.part in {"HEADER", "META"}:
            self._pair(row)
        elif self.part == "DATA":
            _state(self.segments[-1], row)

    def _turn(self, row: Row, word: str) -> None:
        allowed = {
            "META_START": ("HEADER", "DATA"),
            "META_STOP": ("META",),
            "COVARIANCE_START": ("DATA",),
            "COVARIANCE_STOP": ("COVARIANCE",),
        }
        if self.part not in allowed[word]:
            raise row.fault(f"{word} within {self.part}", expected="segments of metadata and data")
        if word == "META_START":
            self.segments.append(Segment(row.line))
        self.part = {"META_START": "META", "COVARIANCE_START": "COVARIANCE"}.get(word, "DATA")

    def _pair(self, row: Row) -> None:
        found = _PAIR.fullmatch(row.text)
        if not found:
            raise row.fault(shown(row.text.strip()), expected="KEYWORD = value")
        if self.part == "META":
            key, value = found.groups()
            if key in self.segments[-1].facts:
                raise row.fault(f"{key} twice", expected="each keyword once")
            if key.endswith("_TIME") and key.removeprefix("USEABLE_") in REQUIRED:
                _epoch(row, value, row.text.index("=") + 2)
            self.segments[-1].facts[key] = value


def _epoch(row: Row, text: str, column: int = 1) -> int:
    try:
        return iso_ns(text)
    except ValueError as error:
        fault = row.fault(
            shown(text), expected="an epoch, such as 2022-11-16T08:44:51.15 or 2022-320T08:44:51"
        )
        fault.column = column
        raise fault from error


def _state(segment: Segment, row: Row) -> None:
    if len(row.cells) not in {7, 10}:
        raise row.fault(f"{len(row.cells)} cells", expected="an epoch and 6 or 9 numbers")
    segment.stamps.append(_epoch(row, row.cells[0]))
    values = row.numbers(1, len(row.cells))
    segment.rows.append(values + [math.nan] * (9 - len(values)))
