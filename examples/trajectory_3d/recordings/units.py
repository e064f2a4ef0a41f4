"""Units of length. Imports nothing, so that commands can parse options without NumPy."""

LENGTH_UNITS: dict[str, float] = {  # metres
    "nm": 1e-9,
    "um": 1e-6,
    "mm": 1e-3,
    "cm": 1e-2,
    "dm": 1e-1,
    "m": 1.0,
    "km": 1e3,
    "in": 0.0254,
    "ft": 0.3048,
    "yd": 0.9144,
    "mi": 1609.344,
    "nmi": 1852.0,
    "au": 149_597_870_700.0,
}

UNKNOWN = "unknown"


def unit_label(unit: str) -> str:
    """A unit of positions for tables and axes; ``units`` where a recording does not say."""
    return "units" if unit == UNKNOWN else unit


def in_unit(of_metres: str, unit: str) -> str:
    """The unit of a quantity, ``m``, ``m/s^2`` or ``m^2`` for positions in metres, for those in another."""
    return unit_label(unit) + of_metres[1:] if of_metres.startswith("m") else of_metres
