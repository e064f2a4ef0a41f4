"""CCSDS orbit ephemeris messages as XML, alone or in an ``ndm``.

Source of the format: CCSDS 505.0-B-3, "XML Specification for Navigation Data Messages".
"""

from __future__ import annotations

import math

from examples.trajectory_3d.recordings.ccsds import Segment, tracks_of
from examples.trajectory_3d.recordings.epochs import iso_ns
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.safe_xml import Element, parse_xml, root_name
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.text_rows import parse_number, shown
from examples.trajectory_3d.recordings.trajectory import Trajectory

_POSITION = ("X", "Y", "Z", "X_DOT", "Y_DOT", "Z_DOT")
_ACCELERATION = ("X_DDOT", "Y_DDOT", "Z_DDOT")
_UNITS = (
    dict.fromkeys("XYZ", "km")
    | dict.fromkeys(_POSITION[3:], "km/s")
    | dict.fromkeys(_ACCELERATION, "km/s**2")
)


def sniff(source: Source) -> Match:
    """Certain by the root element ``oem``, or ``ndm`` with an ``oem`` in it."""
    name = root_name(source.head_text)
    return (
        Match.CERTAIN if name == "oem" or (name == "ndm" and "<oem" in (source.head_text or "")) else Match.NO
    )


@register_format("oem-xml", "CCSDS OEM ephemeris (XML)", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """One track for each segment, with the same columns and clocks as the text form.

    Raises:
        RecordingError: XML or a value that cannot be read, or a unit other than those prescribed.
    """
    root = parse_xml(source.path, source.read())
    segments = [_segment(source, element) for element in root.walk() if element.name == "segment"]
    return tracks_of(source.path, segments, options)


def _segment(source: Source, element: Element) -> Segment:
    metadata, data = element.child("metadata"), element.child("data")
    if metadata is None or data is None:
        raise element.fault(source.path, "a segment", "metadata and data in it")
    segment = Segment(metadata.line, {each.name: each.text.strip() for each in metadata.children})
    for state in data.named("stateVector"):
        values = {each.name: each for each in state.children}
        segment.stamps.append(_epoch(source, state, values))
        row = [_number(source, state, values, name) for name in _POSITION]
        if _ACCELERATION[0] in values:
            row += [_number(source, state, values, name) for name in _ACCELERATION]
        segment.rows.append(row + [math.nan] * (9 - len(row)))
    return segment


def _epoch(source: Source, state: Element, values: dict[str, Element]) -> int:
    found = values.get("EPOCH", state)
    try:
        return iso_ns(found.text if found is not state else "")
    except ValueError as error:
        raise found.fault(source.path, f"EPOCH is {shown(found.text.strip())}", "an epoch") from error


def _number(source: Source, state: Element, values: dict[str, Element], name: str) -> float:
    found = values.get(name)
    if found is None:
        raise state.fault(source.path, f"no {name} in a state vector", "position and velocity")
    unit = found.attributes.get("units", _UNITS[name])
    if unit.lower() != _UNITS[name]:
        raise found.fault(source.path, f"{name} in {shown(unit)}", _UNITS[name])
    try:
        return parse_number(found.text)
    except ValueError as error:
        raise found.fault(source.path, f"{name} is {shown(found.text.strip())}", "a number") from error
