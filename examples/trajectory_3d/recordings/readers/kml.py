"""KML and KMZ: tracks with times (``gx:Track``), timed points, and lines without times; degrees and metres.

Source of the format: OGC KML 2.3, https://docs.ogc.org/is/12-007r2/12-007r2.html.
"""

from __future__ import annotations

import io
import zipfile
import zlib

from examples.trajectory_3d.recordings.assembly import (
    check_place,
    only_metres,
    plural,
)
from examples.trajectory_3d.recordings.epochs import iso_ns
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.safe_xml import Element, parse_xml, root_name
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.text_rows import parse_number, shown
from examples.trajectory_3d.recordings.timed_paths import TimedPath, path_tracks
from examples.trajectory_3d.recordings.trajectory import Trajectory

_ZIP = b"PK\x03\x04"
_LARGEST = 256 << 20  # bytes of a document in a KMZ; only read, never unpacked onto disk
_Place = tuple[float, float, float]
_Entry = tuple[int | None, _Place]


def sniff(source: Source) -> Match:
    """Certain by the root element ``kml``, or a zip that holds a ``.kml``."""
    if source.head.startswith(_ZIP):
        return Match.CERTAIN if ".kmz" in source.suffixes or b".kml" in source.head[:4096] else Match.NO
    return Match.CERTAIN if root_name(source.head_text) == "kml" else Match.NO


@register_format("kml", "KML or KMZ tracks and lines", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Every ``gx:Track``, every run of timed points and every ``LineString`` as local metres.

    Lines have no times and need a rate. Where the file also has tracks with times and no rate is given, the
    lines are left out, which a note says.

    Raises:
        RecordingError: XML or a value that cannot be read, an unsafe or damaged archive, or lines alone and
            no rate.
    """
    only_metres(source.path, options)
    content = source.read()
    root = parse_xml(source.path, _document(source, content) if content.startswith(_ZIP) else content)
    if root.name != "kml":
        raise root.fault(source.path, f"an element '{root.name}'", "kml")
    found = _paths(source, root)
    if not found:
        raise RecordingError(
            source.path, "no track or line in it", expected="gx:Track, LineString or timed points"
        )
    return path_tracks(source.path, options, found)


def _document(source: Source, content: bytes) -> bytes:
    """The first KML document in the archive, which by the standard is the one that counts."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [each for each in archive.infolist() if each.filename.lower().endswith(".kml")]
            if not names:
                raise RecordingError(source.path, "an archive without a .kml in it", expected="a KMZ")
            with archive.open(names[0]) as member:
                document = member.read(_LARGEST + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        if isinstance(error, RecordingError):
            raise
        problem = f"a damaged or locked archive ({error})"
        raise RecordingError(source.path, problem, expected="a whole KMZ") from error
    if len(document) > _LARGEST:
        raise RecordingError(
            source.path, f"a document of more than {_LARGEST >> 20} MiB in the archive", expected="less"
        )
    return document


def _paths(source: Source, root: Element) -> list[TimedPath]:
    found: list[TimedPath] = []
    for parent in root.walk():
        points: list[_Entry] = []
        for mark in parent.named("Placemark"):
            name = mark.child_text("name") or f"line {len(found) + 1}"
            for element in mark.walk():
                if element.name == "Track":
                    found.append(_gx_track(source, element, name))
                elif element.name == "LineString":
                    places = _line(source, element)
                    found.append(TimedPath(name, [None] * len(places), places))
            points += _timed_point(source, mark)
        if points:
            label = parent.child_text("name") or "points"
            found.append(TimedPath(label, [stamp for stamp, _ in points], [place for _, place in points]))
    return [path for path in found if path.places]


def _gx_track(source: Source, element: Element, name: str) -> TimedPath:
    whens = element.named("when")
    coords = element.named("coord") or [
        part for each in element.named("coordinates") for part in _split(each)
    ]
    if len(whens) != len(coords):
        problem = f"a track with {plural(len(whens), 'time')} and {plural(len(coords), 'point')}"
        raise element.fault(source.path, problem, "as many of both")
    places = [_place(source, each, each.text.split()) for each in coords]
    return TimedPath(name, [_stamp(source, each) for each in whens], places)


def _split(element: Element) -> list[Element]:
    parts = element.text.split()
    return [Element("coord", {}, element.line, element.column, part.replace(",", " ")) for part in parts]


def _timed_point(source: Source, mark: Element) -> list[_Entry]:
    """The place of a mark that has a ``TimeStamp``; a point without one is a mark, not motion."""
    point, stamp = mark.child("Point"), mark.child("TimeStamp")
    when = stamp.child("when") if stamp else None
    coordinates = point.child("coordinates") if point else None
    if when is None or coordinates is None:
        return []
    return [(_stamp(source, when), _place(source, coordinates, coordinates.text.strip().split(",")))]


def _line(source: Source, element: Element) -> list[_Place]:
    coordinates = element.child("coordinates")
    if coordinates is None:
        return []
    return [_place(source, coordinates, part.split(",")) for part in coordinates.text.split()]


def _place(source: Source, element: Element, cells: list[str]) -> _Place:
    """Latitude, longitude, altitude of a KML tuple, whose order is longitude first; NaN for no altitude."""
    try:
        if len(cells) not in {2, 3}:
            raise ValueError
        longitude, latitude, altitude = map(parse_number, [*cells, "nan"][:3])
    except ValueError:
        text = shown(",".join(cells))
        raise element.fault(source.path, f"a point {text}", "longitude,latitude,altitude") from None
    wrong = check_place(latitude, longitude, altitude)
    if wrong:
        raise element.fault(source.path, wrong, "degrees and metres on Earth")
    return latitude, longitude, altitude


def _stamp(source: Source, element: Element) -> int | None:
    if not element.text.strip():
        return None
    try:
        return iso_ns(element.text)
    except ValueError as error:
        text = shown(element.text.strip())
        raise element.fault(source.path, f"a time {text}", "an ISO 8601 date and time") from error
