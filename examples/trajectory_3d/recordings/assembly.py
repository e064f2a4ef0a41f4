"""What readers of many formats do alike: times from stamps or a rate, declared units, names of tracks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.arrays import BoolArray, Float64Array
from examples.trajectory_3d.recordings.epochs import MOST_NS
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.geodesy import to_local
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Clock, Origin, relative

_HIGHEST = 1e9  # metres; beyond the Moon nothing has a latitude
_UNIX_FROM = 100_000_000 * NANOSECONDS  # 1973; no recording runs for three years from zero


def unix_or_elapsed(stamps: Sequence[int]) -> Clock:
    """``utc`` for stamps from 1973 on, ``elapsed`` for smaller ones: formats that allow both do not say."""
    return "utc" if len(stamps) and stamps[0] >= _UNIX_FROM else "elapsed"


def times_of(path: Path, stamps: Sequence[int]) -> tuple[Float64Array, int]:
    """Seconds after the first stamp, ``[N]``, and that stamp in nanoseconds.

    Raises:
        RecordingError: a stamp more than 146 years from the zero of its clock.
    """
    far = next((stamp for stamp in stamps if abs(stamp) > MOST_NS), None)
    if far is not None:
        raise RecordingError(path, f"a stamp of {far} ns", expected="within 146 years of the clock's zero")
    return relative(np.array(stamps, dtype=np.int64))


def times_at_rate(path: Path, count: int, options: ReadOptions, what: str) -> Float64Array:
    """Seconds of so many samples at the rate that the user gives, ``[N]``, each rounded to its nanosecond.

    Raises:
        RecordingError: no rate is given, or one so slow that the last sample is centuries away.
    """
    if options.rate is None:
        raise RecordingError(path, f"{what} has no times", expected="its samples a second, by --rate")
    return spaced(path, count, options.rate)


def spaced(path: Path, count: int, rate: float) -> Float64Array:
    """Seconds of samples at a rate, ``[N]``, each rounded to its nanosecond.

    Raises:
        RecordingError: a rate that is not positive, or so slow that the last sample is centuries away.
    """
    if not (rate > 0 and count * NANOSECONDS < MOST_NS * rate):
        raise RecordingError(path, f"{rate:g} samples a second", expected="a sensible rate")
    times: Float64Array = np.rint(np.arange(count) * (NANOSECONDS / rate)) / NANOSECONDS
    return times


class Declared(TypedDict):
    """Unit and frame, as arguments of `Trajectory`."""

    unit: str
    frame: str


def stated(options: ReadOptions, *, unit: str, frame: str) -> Declared:
    """Unit and frame of a track: what the user says, else what the file or its format says."""
    return {"unit": options.unit or unit, "frame": options.frame or frame}


def distinct(names: Sequence[str]) -> list[str]:
    """The same names, with `` #2``, `` #3`` ... behind those that came before."""
    last: Counter[str] = Counter()
    taken: set[str] = set()
    result = []
    for name in names:
        label = name
        while label in taken:
            last[name] += 1
            label = f"{name} #{last[name] + 1}"
        taken.add(label)
        result.append(label)
    return result


def timed(
    path: Path, stamps: Sequence[int | None], options: ReadOptions, what: str
) -> tuple[BoolArray, Float64Array, int, Clock, tuple[str, ...]]:
    """Times of points of which some, all or none have one.

    Returns:
        Which points to keep ``[N]`` (those without a time go where others have one), the times of those
        kept, `start_ns`, the clock, and a note that counts those left out.

    Raises:
        RecordingError: none has a time and no rate is given.
    """
    known = np.array([stamp is not None for stamp in stamps], dtype=bool)
    if not known.any():
        times = times_at_rate(path, len(stamps), options, what)
        return ~known, times, 0, "index", ()
    times, start = times_of(path, [stamp for stamp in stamps if stamp is not None])
    lost = len(stamps) - int(known.sum())
    notes = (f"{lost} of {len(stamps)} points have no time and are left out",) if lost else ()
    return known, times, start, "utc", notes


def local_points(
    path: Path, latitude: Sequence[float], longitude: Sequence[float], altitude: Sequence[float]
) -> tuple[Float64Array, Origin, tuple[str, ...]]:
    """East, north, up of degrees and metres, its origin, and notes on altitudes that are missing.

    Where no point has an altitude the path is laid at 0 m; where some have, those without are lost (NaN).

    Raises:
        RecordingError: no point is complete.
    """
    heights = np.array(altitude, dtype=np.float64)
    missing = np.isnan(heights) & np.isfinite(np.array(latitude, dtype=np.float64))
    notes: tuple[str, ...] = ()
    if len(heights) and np.isnan(heights).all():
        heights = np.zeros(len(heights))
        notes = ("no altitudes; the path is laid at 0 m",)
    elif missing.any():
        notes = (f"{int(missing.sum())} of {len(heights)} points have no altitude",)
    try:
        points, origin = to_local(latitude, longitude, heights)
    except ValueError as error:
        raise RecordingError(path, str(error), expected="at least one fix") from error
    return points, origin, notes


def only_metres(path: Path, options: ReadOptions) -> None:
    """Refuse a unit or frame that contradicts latitude, longitude and metres, which become local metres.

    Raises:
        RecordingError: another unit than metres, another frame than ``enu``.
    """
    if options.unit not in (None, "m") or options.frame not in (None, "enu"):
        raise RecordingError(
            path,
            f"unit {options.unit}, frame {options.frame} for latitude, longitude and altitude",
            expected="unit m and frame enu, or neither",
        )


def check_place(latitude: float, longitude: float, altitude: float) -> str | None:
    """What is wrong with degrees and metres on Earth; None when nothing is, as with an altitude of NaN."""
    if not -90 <= latitude <= 90:
        return f"latitude {latitude:g}"
    if not -360 <= longitude <= 360:
        return f"longitude {longitude:g}"
    return f"altitude {altitude:g}" if abs(altitude) > _HIGHEST else None


def floats(values: npt.ArrayLike, columns: int) -> Float64Array:
    """Rows as ``[N, columns]`` float64, also when there are none."""
    return np.array(values, dtype=np.float64).reshape(-1, columns)


def plural(count: int, word: str) -> str:
    """``1 point``, ``2 points``."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def spaced_ns(path: Path, count: int, step: int) -> Float64Array:
    """Seconds of samples that are so many whole nanoseconds apart, ``[N]``.

    Raises:
        RecordingError: steps so long that the last sample is centuries away.
    """
    if count * step > MOST_NS:
        raise RecordingError(path, f"{count} samples {step} ns apart", expected="a recording of fewer years")
    return (np.arange(count, dtype=np.int64) * step) / NANOSECONDS
