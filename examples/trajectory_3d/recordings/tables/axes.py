"""Coordinates told by names of columns: x, y, z; north, east, down; latitude, longitude, altitude."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from examples.trajectory_3d.recordings.tables.names import Name, word_list
from examples.trajectory_3d.recordings.trajectory import LENGTH_UNITS

# Words that may stand beside an axis without making it anything but a position (a velocity, a quaternion).
_BESIDE = frozenset(
    word_list(
        "p pos position positions loc location coord coordinate coordinates point points pose path traj "
        "trajectory xyz translation trans t transform field world local global estimate est estimated gt "
        "groundtruth ground truth true rs r rb wb center centre centroid ref reference state odom odometry "
        "data msg mocap vicon tracker body baseline ned enu ecef itrf utm m"
    )
)
_BESIDE_EARTH = _BESIDE | frozenset(word_list("gps gnss wgs84 fix geo deg"))
_JOINED = re.compile(r"(p|t|pos|position|loc|coord)?([xyz])(pos|est|coord)?")
_AXES = {
    **{axis: axis for axis in "xyz"},
    **dict.fromkeys(("north", "northing", "n"), "north"),
    **dict.fromkeys(("east", "easting", "e"), "east"),
    **dict.fromkeys(("down", "d"), "down"),
    **dict.fromkeys(("up", "u"), "up"),
}
_EARTH = {
    **dict.fromkeys(("lat", "latitude"), "lat"),
    **dict.fromkeys(("lon", "lng", "long", "longitude"), "lon"),
}
_FRAMES = {"ned": "ned", "enu": "enu", "ecef": "itrf", "itrf": "itrf"}
_ALTITUDES = word_list(  # the first that is there is taken
    "altitude alt elevation elev ele height hgt h heightabovemsl altitudemsl altitudeabovemsl altmsl "
    "mslaltitude heightmsl hmsl msl heightaboveellipsoid ellipsoidheight ellipsoidalheight altitudeellipsoid "
    "geoaltitude geometricaltitude altitudegeo gnssaltitude baroaltitude barometricaltitude pressurealtitude "
    "altitudebaro"
)
_DEPTHS = ("depth", "waterdepth", "divedepth")


@dataclass(frozen=True)
class Axes:
    """Columns that are a position.

    Attributes:
        columns: their numbers, from 0.
        factors: of each column, to the unit of the position; degrees and metres where `geodetic`.
        frame: ``xyz``, ``ned``, ``enu`` or ``itrf``.
        unit: of the position, by the names; ``unknown`` where they say none.
        geodetic: whether the columns are latitude, longitude and, if there are three, altitude.
        notes: what else could have been taken.
    """

    columns: tuple[int, ...]
    factors: tuple[float, ...]
    frame: str = "xyz"
    unit: str = "unknown"
    geodetic: bool = False
    notes: tuple[str, ...] = ()


def find_axes(names: Sequence[Name], unit: str | None = None, feet: bool = False) -> list[Axes]:
    """Every position that the names tell of; none or several where they do not say which it is.

    Args:
        names: of the columns.
        unit: of lengths without a unit in the name, where the user says so.
        feet: whether altitudes without a unit in the name are in feet.
    """
    families = [*_earth(names, unit, feet), *_north_east(names), *_xyz(names)]
    most = max((len(each.columns) for each in families), default=0)
    return [each for each in families if len(each.columns) == most or each.geodetic]


def chosen_axes(
    columns: Sequence[int], names: Sequence[Name], geodetic: bool | None, unit: str | None
) -> Axes:
    """Columns named by the user as a position, with what their names say of frame and unit.

    Raises:
        ValueError: latitude without longitude, or more columns than latitude, longitude and altitude.
    """
    roles = [_earth_role(names[each]) for each in columns]
    if geodetic or (geodetic is None and "lat" in roles and "lon" in roles):
        return _chosen_earth(columns, names, roles, unit)
    axes = [_axis(names[each]) for each in columns]
    kinds = [None if axis is None else axis[1] for axis in axes]
    frame = {"north east down": "ned", "east north up": "enu"}.get(" ".join(map(str, kinds)))
    beside = [word for axis in axes if axis for word in axis[0]]
    return _with_unit(columns, names, frame or _frame(beside, "xyz"))


def _chosen_earth(
    columns: Sequence[int], names: Sequence[Name], roles: Sequence[str | None], unit: str | None
) -> Axes:
    if len(columns) not in {2, 3}:
        raise ValueError(f"{len(columns)} columns as latitude, longitude and altitude; expected two or three")
    order = list(columns)
    if "lat" in roles and "lon" in roles:
        first = [columns[roles.index("lat")], columns[roles.index("lon")]]
        order = [*first, *(each for each in columns if each not in first)]
    elif "lat" in roles or "lon" in roles:
        raise ValueError("latitude without longitude, or the other way round")
    return _geodetic(order, names, unit, feet=False)


def _earth_role(name: Name) -> str | None:
    words = [word for word in name.words if word not in _BESIDE_EARTH]
    return _EARTH.get(words[0]) if len(words) == 1 else None


def _earth(names: Sequence[Name], unit: str | None, feet: bool) -> list[Axes]:
    groups: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for index, name in enumerate(names):
        role = _earth_role(name)
        if role is not None:
            beside = tuple(word for word in name.words if word in _BESIDE_EARTH)
            groups[beside].setdefault(role, index)
    complete = [group for group in groups.values() if len(group) == 2]
    heights = _heights(names)
    result = []
    for group in complete:
        flat = [group["lat"], group["lon"]]
        axes = _geodetic([*flat, *heights[:1]], names, unit, feet=feet)
        depths = [each for each in heights if _height_key(names[each]) in _DEPTHS]
        if depths and len(depths) < len(heights):  # a height over ground, perhaps, and a depth
            result += [axes, _geodetic([*flat, depths[0]], names, unit, feet=feet)]
        else:
            result.append(axes)
    return result


def _height_key(name: Name) -> str:
    return "".join(
        word for word in name.words if word not in {"gps", "gnss", "location", "position", "pos", "field"}
    )


def _heights(names: Sequence[Name]) -> list[int]:
    """Columns that are an altitude or a depth, best first."""
    ranks = {key: rank for rank, key in enumerate([*_ALTITUDES, *_DEPTHS])}
    found = [
        (ranks[_height_key(name)], index) for index, name in enumerate(names) if _height_key(name) in ranks
    ]
    return [index for _, index in sorted(found)]


def _geodetic(columns: Sequence[int], names: Sequence[Name], unit: str | None, *, feet: bool) -> Axes:
    """Latitude, longitude and perhaps an altitude or a depth."""
    degrees = [names[each].degrees or 1.0 for each in columns[:2]]
    if len(columns) == 2:
        notes = ("no altitudes; the path is laid at 0 m",)
        return Axes(tuple(columns), tuple(degrees), "enu", "m", geodetic=True, notes=notes)
    height = names[columns[2]]
    metres = LENGTH_UNITS[height.length or unit or ("ft" if feet else "m")]
    deep = _height_key(height) in _DEPTHS
    return Axes(tuple(columns), (*degrees, -metres if deep else metres), "enu", "m", geodetic=True)


def _axis(name: Name) -> tuple[tuple[str, ...], str] | None:
    """The words beside an axis and the axis: ``('pos',), 'x'`` of ``pos_x`` and of ``posx``."""
    words = list(name.words)
    if len(words) == 1 and (joined := _JOINED.fullmatch(words[0])):
        return tuple(part for part in (joined[1], joined[3]) if part), joined[2]
    for place in (-1, 0):
        if words and words[place] in _AXES:
            beside = words[1:] if place == 0 else words[:-1]
            if all(word in _BESIDE or word.isdigit() for word in beside):
                return tuple(beside), _AXES[words[place]]
    return None


def _groups(names: Sequence[Name]) -> Mapping[tuple[str, ...], dict[str, int]]:
    groups: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for index, name in enumerate(names):
        axis = _axis(name)
        if axis is not None:
            groups[axis[0]].setdefault(axis[1], index)
    return groups


def _xyz(names: Sequence[Name]) -> list[Axes]:
    result = []
    for beside, group in _groups(names).items():
        columns = [group[axis] for axis in "xyz" if axis in group]
        if [axis for axis in "xyz" if axis in group] != list("xyz")[: len(columns)] or not columns:
            continue
        result.append(_third(columns, names, _frame(beside, "xyz")))
    return result


def _north_east(names: Sequence[Name]) -> list[Axes]:
    result = []
    for group in _groups(names).values():
        letters = any(len(names[group[axis]].words[-1]) == 1 for axis in ("north", "east") if axis in group)
        if not {"north", "east"} <= group.keys() or (letters and not {"down", "up"} & group.keys()):
            continue  # n and e alone may be anything
        if "down" in group:
            result.append(_with_unit([group["north"], group["east"], group["down"]], names, "ned"))
        else:
            up = [group["up"]] if "up" in group else []
            result.append(_third([group["east"], group["north"], *up], names, "enu"))
    return result


def _third(columns: list[int], names: Sequence[Name], frame: str) -> Axes:
    """Two axes with an altitude or a depth as the third, where there is one."""
    heights = _heights(names)
    if len(columns) != 2 or len(heights) != 1:
        return _with_unit(columns, names, frame)
    axes = _with_unit([*columns, heights[0]], names, frame)
    if _height_key(names[heights[0]]) not in _DEPTHS:
        return axes
    return replace(
        axes, factors=(*axes.factors[:2], -axes.factors[2]), notes=("depth is turned to altitude",)
    )


def _frame(beside: Sequence[str], otherwise: str) -> str:
    return next((_FRAMES[word] for word in beside if word in _FRAMES), otherwise)


def _with_unit(columns: Sequence[int], names: Sequence[Name], frame: str) -> Axes:
    """All columns in the unit of the first that says its own."""
    units = [names[each].length for each in columns]
    unit = next((each for each in units if each is not None), None)
    if unit is None:
        return Axes(tuple(columns), (1.0,) * len(columns), frame)
    factors = tuple(1.0 if each is None else LENGTH_UNITS[each] / LENGTH_UNITS[unit] for each in units)
    return Axes(tuple(columns), factors, frame, unit)
