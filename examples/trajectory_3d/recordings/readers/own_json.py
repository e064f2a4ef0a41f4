"""JSON as this package writes it: every track with all that is known of it, without loss."""

from __future__ import annotations

import json
import re

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings.trajectory_json import MARKER, VERSION, track_from

_START = re.compile(r'\s*\{\s*"format"\s*:\s*"' + re.escape(MARKER) + '"')


def sniff(source: Source) -> Match:
    """Certain by the marker that our writer puts first."""
    return Match.CERTAIN if _START.match(source.head_text or "") else Match.NO


@register_format("trajectory-json", "JSON written by this package", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Tracks as they were written; the file says all of itself, so options change nothing.

    Raises:
        RecordingError: JSON that is damaged, of another kind or of a newer version.
    """
    del options
    try:
        content = json.loads(source.text())
    except json.JSONDecodeError as error:
        raise RecordingError(
            source.path,
            f"no JSON ({error.msg})",
            expected="a whole file",
            line=error.lineno,
            column=error.colno,
        ) from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(source.path, f"no JSON ({error})", expected="a whole file") from error
    if not isinstance(content, dict) or content.get("format") != MARKER:
        raise RecordingError(
            source.path, f'no \'"format": "{MARKER}"\' in it', expected="JSON of this package"
        )
    if content.get("version") != VERSION:
        raise RecordingError(
            source.path, f"version {content.get('version')!r}", expected=f"version {VERSION}"
        )
    tracks = content.get("tracks")
    if not isinstance(tracks, list):
        raise RecordingError(source.path, "no list 'tracks' in it", expected="JSON of this package")
    result = []
    for number, values in enumerate(tracks):
        try:
            result.append(track_from(values))
        except (ValueError, OverflowError) as error:
            raise RecordingError(
                source.path, f"tracks[{number}]: {error}", expected="a whole track"
            ) from error
    return result
