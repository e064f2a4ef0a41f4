"""GPX 1.0 and 1.1: every ``trkseg`` is a track; UTC, degrees and metres.

Source of the format: https://www.topografix.com/GPX/1/1/.
"""

from __future__ import annotations

import math

from examples.trajectory_3d.recordings.assembly import check_place, only_metres
from examples.trajectory_3d.recordings.epochs import iso_ns
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.safe_xml import Element, parse_xml, root_name
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.text_rows import parse_number, shown
from examples.trajectory_3d.recordings.timed_paths import TimedPath, path_tracks
from examples.trajectory_3d.recordings.trajectory import Trajectory


def sniff(source: Source) -> Match:
    """Certain by the root element ``gpx``."""
    return Match.CERTAIN if root_name(source.head_text) == "gpx" else Match.NO


@register_format("gpx", "GPX tracks", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Every segment as local metres; routes and way points are plans and marks, not motion.

    Points without a time are left out where others have one, and so are segments without any; notes count
    them.

    Raises:
        RecordingError: XML or a value that cannot be read; no times at all, and no rate given.
    """
    only_metres(source.path, options)
    root = parse_xml(source.path, source.read())
    if root.name != "gpx":
        raise root.fault(source.path, f"an element '{root.name}'", "gpx")
    found = []
    for number, track in enumerate(root.named("trk"), start=1):
        segments = [each for each in track.named("trkseg") if each.named("trkpt")]
        name = track.child_text("name") or f"track {number}"
        for index, segment in enumerate(segments, start=1):
            found.append((f"{name}, segment {index}" if len(segments) > 1 else name, segment))
    if not found:
        raise RecordingError(source.path, "no track with points in it", expected="a trk with a trkseg")
    paths = [_path(source, segment, label) for label, segment in found]
    return path_tracks(source.path, options, paths)


def _path(source: Source, segment: Element, label: str) -> TimedPath:
    points = segment.named("trkpt")
    return TimedPath(
        label, [_stamp(source, each) for each in points], [_place(source, each) for each in points]
    )


def _stamp(source: Source, point: Element) -> int | None:
    text = point.child_text("time")
    if not text:
        return None
    try:
        return iso_ns(text)
    except ValueError as error:
        raise point.fault(source.path, f"a time {shown(text)}", "an ISO 8601 date and time") from error


def _place(source: Source, point: Element) -> tuple[float, float, float]:
    values = []
    for name, text in (
        ("lat", point.attributes.get("lat", "")),
        ("lon", point.attributes.get("lon", "")),
        ("ele", point.child_text("ele") or "nan"),
    ):
        try:
            values.append(parse_number(text))
        except ValueError as error:
            raise point.fault(source.path, f"{name} is {shown(text)}", "a number") from error
    latitude, longitude, altitude = values
    wrong = check_place(latitude, longitude, altitude) if not math.isnan(latitude + longitude) else "a NaN"
    if wrong:
        raise point.fault(source.path, wrong, "degrees and metres on Earth")
    return latitude, longitude, altitude
