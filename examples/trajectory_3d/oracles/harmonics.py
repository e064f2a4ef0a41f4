"""Linear fits of harmonic motion over a grid of frequencies (variable projection).

For a given frequency a harmonic motion is linear in everything else (G. Golub and V. Pereyra, SIAM J. Numer.
Anal. 10, 1973), and the times are the same for all windows: one factorisation serves them all.
"""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.motions.registry import FloatArray

SPACING = 0.1  # of the frequency grid, in turns per context
LEAST_TURNS = 0.05  # in the context; slower motion looks like a polynomial
MOST_TURNS = 16.0


def frequency_grid(times: FloatArray) -> FloatArray:
    """Turning rates worth trying for points at these times, [G] rad/s, at most a quarter of a turn a step."""
    span = float(times[-1] - times[0])
    highest = min(MOST_TURNS, (len(times) - 1) / 4.0)
    return 2.0 * np.pi / span * np.arange(LEAST_TURNS, max(highest, 2.0 * LEAST_TURNS), SPACING)


def harmonic_fits(
    points: FloatArray, times: FloatArray, rates: FloatArray, *, drift: bool
) -> tuple[FloatArray, FloatArray]:
    """Fit [1, t,] cos wt, sin wt to every coordinate by least squares, for each rate w.

    Args:
        points: [N, L, 3].
        times: [L] seconds.
        rates: [G] rad/s.
        drift: whether a constant and a drift take part.

    Returns:
        Coefficients [G, N, 3, C] and sums of squared residuals [G, N, 3] summed over coordinates if
        ``drift``, [G, N]; per coordinate, [G, N, 3], otherwise.
    """
    flat = np.moveaxis(points, 1, 0).reshape(len(times), -1)  # [L, 3 N]
    coefficients, costs = [], []
    for rate in rates:
        columns = [np.cos(rate * times), np.sin(rate * times)]
        if drift:
            columns = [np.ones_like(times), times, *columns]
        design = np.stack(columns, axis=1)
        solution = np.linalg.pinv(design) @ flat  # [C, 3 N]
        residual = np.square(flat - design @ solution).sum(axis=0)
        coefficients.append(np.moveaxis(solution.reshape(len(columns), -1, 3), 0, 2))
        costs.append(residual.reshape(-1, 3))
    cost = np.stack(costs)
    return np.stack(coefficients), cost.sum(axis=2) if drift else cost
