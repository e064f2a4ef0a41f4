"""Known chaotic flows in three variables, as a table of equations.

Every right-hand side is a sum of a few terms (monomials, and sines for one system). So the windows of
all systems can be integrated together: a system is a matrix of coefficients, not code.

Most of the smooth flows with few terms are from J. Sprott, "Some simple chaotic flows", Phys. Rev. E 50
(1994), cases B to S; the table of J. Sprott, "Elegant Chaos" (World Scientific, 2010) holds most
of the others. Each entry names the original.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from examples.trajectory_3d.motions.registry import FloatArray

# Products of powers of x, y, z, each written out in alphabetical order, and sines of x, y, z.
TERMS: tuple[str, ...] = (
    *("1", "x", "y", "z", "xx", "xy", "xz", "yy", "yz", "zz"),
    *("xxx", "xxy", "xxz", "xyy", "xyz", "yyz", "zzz", "xxxz", "sinx", "siny", "sinz"),
)


@dataclass(frozen=True)
class ChaoticSystem:
    """One flow.

    Attributes:
        equations: the right-hand sides of x', y', z': terms between blanks, each a product by
            ``*`` of numbers, parameter names and at most one of `TERMS`.
        start: a point that the flow takes to its attractor.
        period: of one turn, roughly, in the system's own time.
        source: where the flow was published.
        parameters: names and the values at which the flow is known to be chaotic.
        give: share of a change of parameters that is made; below 1 for flows whose attractor is so
            close to the edge of its basin that changes of 3 % let several paths in a hundred escape.
    """

    equations: tuple[str, str, str]
    start: tuple[float, float, float]
    period: float
    source: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    give: float = 1.0

    def coefficients(self, values: Mapping[str, FloatArray], count: int) -> FloatArray:
        """Coefficients [3, number of `TERMS`, count] for parameter values [count] each.

        Raises:
            ValueError: an equation holds what is neither number, parameter nor term.
        """
        result = np.zeros((3, len(TERMS), count))
        for axis, equation in enumerate(self.equations):
            for product in equation.split():
                index, factor = self._product(product, values)
                result[axis, index] += factor
        return result

    def _product(self, product: str, values: Mapping[str, FloatArray]) -> tuple[int, FloatArray | float]:
        """Read one product: which term, and its coefficient."""
        index = 0
        factor: FloatArray | float = -1.0 if product.startswith("-") else 1.0
        for name in product.lstrip("+-").split("*"):
            if name in values:
                factor = factor * values[name]
            elif name in TERMS[1:]:
                index = TERMS.index(name)
            else:
                factor = factor * float(name)
        return index, factor


def _sprott(
    case: str,
    equations: tuple[str, str, str],
    start: tuple[float, float, float],
    period: float,
    give: float = 1.0,
    **parameters: float,
) -> ChaoticSystem:
    return ChaoticSystem(
        equations, start, period, f"J. Sprott, Phys. Rev. E 50 (1994), case {case}", parameters, give
    )


SYSTEMS: Mapping[str, ChaoticSystem] = {
    "rossler": ChaoticSystem(
        ("-y -z", "x +a*y", "b +xz -c*z"),
        (1.0, 1.0, 0.0),
        4.3,
        "O. Rössler, Phys. Lett. A 57 (1976)",
        {"a": 0.2, "b": 0.2, "c": 5.7},
    ),
    "thomas": ChaoticSystem(
        ("siny -b*x", "sinz -b*y", "sinx -b*z"),
        (1.1, 1.1, -0.01),
        14.0,
        "R. Thomas, Int. J. Bifurcation Chaos 9 (1999)",
        {"b": 0.18},
    ),
    "halvorsen": ChaoticSystem(
        ("-a*x -4*y -4*z -yy", "-a*y -4*z -4*x -zz", "-a*z -4*x -4*y -xx"),
        (-5.0, 0.0, 0.0),
        1.1,
        "A. Halvorsen, in Sprott, Chaos and Time-Series Analysis (2003)",
        {"a": 1.4},
    ),
    "chua": ChaoticSystem(
        ("a*y -a*c*x -a*d*xxx", "x -y +z", "-b*y"),
        (0.5, 0.1, -0.2),
        4.1,
        "G.-Q. Zhong, IEEE Trans. Circuits Syst. I 41 (1994), cubic nonlinearity",
        {"a": 10.0, "b": 16.0, "c": -0.143, "d": 0.0625},
    ),
    "aizawa": ChaoticSystem(
        ("xz -b*x -d*y", "d*x +yz -b*y", "c +a*z -0.3333333333333333*zzz -xx -yy -e*xxz -e*yyz +f*xxxz"),
        (0.1, 0.0, 0.0),
        2.3,
        "W. Langford, Numerical studies of torus bifurcations (1984); named after Y. Aizawa",
        {"a": 0.95, "b": 0.7, "c": 0.6, "d": 3.5, "e": 0.25, "f": 0.1},
    ),
    "dadras": ChaoticSystem(
        ("y -a*x +b*yz", "c*y -xz +z", "d*xy -e*z"),
        (1.0, 1.0, 1.0),
        1.3,
        "S. Dadras and H. Momeni, Phys. Lett. A 373 (2009)",
        {"a": 3.0, "b": 2.7, "c": 1.7, "d": 2.0, "e": 9.0},
    ),
    "rabinovich_fabrikant": ChaoticSystem(
        ("yz -y +xxy +g*x", "3*xz +x -xxx +g*y", "-2*a*z -2*xyz"),
        (-1.0, 0.0, 0.5),
        2.4,
        "M. Rabinovich and A. Fabrikant, Sov. Phys. JETP 50 (1979)",
        {"a": 0.14, "g": 0.1},
    ),
    "chen": ChaoticSystem(
        ("a*y -a*x", "c*x -a*x -xz +c*y", "xy -b*z"),
        (-5.0, -5.0, 15.0),
        0.43,
        "G. Chen and T. Ueta, Int. J. Bifurcation Chaos 9 (1999)",
        {"a": 35.0, "b": 3.0, "c": 28.0},
    ),
    "burke_shaw": ChaoticSystem(
        ("-s*x -s*y", "-y -s*xz", "s*xy +v"),
        (0.6, 0.0, 0.0),
        0.83,
        "R. Shaw, Z. Naturforsch. A 36 (1981)",
        {"s": 10.0, "v": 4.272},
    ),
    "rucklidge": ChaoticSystem(
        ("-k*x +l*y -yz", "x", "-z +yy"),
        (1.0, 0.0, 4.5),
        3.6,
        "A. Rucklidge, J. Fluid Mech. 237 (1992)",
        {"k": 2.0, "l": 6.7},
    ),
    "genesio_tesi": ChaoticSystem(
        ("y", "z", "-c*x -b*y -a*z +xx"),
        (0.1, 0.1, 0.1),
        6.1,
        "R. Genesio and A. Tesi, Automatica 28 (1992)",
        {"a": 0.44, "b": 1.1, "c": 1.0},
        give=0.2,
    ),
    "shimizu_morioka": ChaoticSystem(
        ("y", "x -l*y -xz", "-a*z +xx"),
        (0.1, 0.1, 0.5),
        10.0,
        "T. Shimizu and N. Morioka, Phys. Lett. A 76 (1980)",
        {"a": 0.45, "l": 0.75},
    ),
    "sprott_b": _sprott("B", ("a*yz", "x -b*y", "1 -xy"), (0.05, 0.05, 0.05), 5.4, a=1.0, b=1.0),
    "sprott_c": _sprott("C", ("yz", "x -y", "a -b*xx"), (0.05, 0.05, 0.05), 6.8, a=1.0, b=1.0),
    "sprott_d": _sprott("D", ("-y", "x +z", "a*xz +b*yy"), (0.05, 0.05, 0.05), 5.1, a=1.0, b=3.0),
    "sprott_e": _sprott("E", ("a*yz", "xx -y", "1 -b*x"), (0.05, 0.05, 0.05), 6.0, a=1.0, b=4.0),
    "sprott_f": _sprott("F", ("y +z", "-x +a*y", "xx -z"), (0.05, 0.05, 0.05), 7.7, give=0.3, a=0.5),
    "sprott_g": _sprott("G", ("a*x +z", "xz -y", "b*y -x"), (0.05, 0.05, 0.05), 5.7, a=0.4, b=1.0),
    "sprott_h": _sprott("H", ("-y +zz", "x +a*y", "x -z"), (0.05, 0.05, 0.05), 6.3, give=0.3, a=0.5),
    "sprott_i": _sprott("I", ("-a*y", "x +z", "x +yy -z"), (0.05, 0.05, 0.05), 9.3, a=0.2),
    "sprott_j": _sprott("J", ("2*z", "-a*y +z", "-x +y +yy"), (0.05, 0.05, 0.05), 4.7, a=2.0),
    "sprott_k": _sprott("K", ("xy -z", "x -y", "x +a*z"), (0.05, 0.05, 0.05), 6.4, a=0.3),
    "sprott_l": _sprott("L", ("y +a*z", "b*xx -y", "1 -x"), (0.05, 0.05, 0.05), 3.3, give=0.1, a=3.9, b=0.9),
    "sprott_m": _sprott("M", ("-z", "-xx -y", "a +a*x +y"), (0.05, 0.05, 0.05), 5.3, give=0.2, a=1.7),
    "sprott_n": _sprott("N", ("-2*y", "x +zz", "1 +y -a*z"), (0.05, 0.05, 0.05), 4.7, a=2.0),
    "sprott_o": _sprott("O", ("y", "x -z", "x +xz +a*y"), (0.05, 0.05, 0.05), 4.9, give=0.2, a=2.7),
    "sprott_p": _sprott("P", ("a*y +z", "-x +yy", "x +y"), (0.05, 0.05, 0.05), 5.9, a=2.7),
    "sprott_q": _sprott("Q", ("-z", "x -y", "a*x +yy +b*z"), (0.05, 0.05, 0.05), 3.9, give=0.1, a=3.1, b=0.5),
    "sprott_r": _sprott("R", ("a -y", "b +z", "xy -z"), (0.05, 0.05, 0.05), 4.2, give=0.1, a=0.9, b=0.4),
    "sprott_s": _sprott("S", ("-x -a*y", "x +zz", "1 +x"), (0.05, 0.05, 0.05), 3.2, a=4.0),
}
