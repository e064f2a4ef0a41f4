"""The families of predictive distributions, whatever holds their numbers. Imports no torch."""

from __future__ import annotations

import math

from m.heads.config import DistributionKind


def standard_quantile(kind: DistributionKind, level: float, degrees_of_freedom: float | None = None) -> float:
    """Quantile of a family at location 0 and scale 1.

    Args:
        kind: of the family.
        level: in (0, 1).
        degrees_of_freedom: of a Student's t.

    Raises:
        ValueError: a level outside (0, 1), or a Student's t without degrees of freedom.
    """
    import scipy.special  # noqa: PLC0415  (a tenth of a second, and only where quantiles are asked for)

    if not 0.0 < level < 1.0:
        raise ValueError(f"a quantile level must lie strictly between 0 and 1, got {level}")
    if kind == "gaussian":
        return float(scipy.special.ndtri(level))
    if kind == "laplace":
        return math.copysign(math.log1p(-abs(2 * level - 1)), level - 0.5)
    return float(scipy.special.stdtrit(known_degrees(degrees_of_freedom), level))


def known_degrees(degrees_of_freedom: float | None) -> float:
    """The degrees of freedom.

    Raises:
        ValueError: there are none.
    """
    if degrees_of_freedom is None:
        raise ValueError("a student_t distribution needs degrees_of_freedom")
    return degrees_of_freedom
