"""How much of a recording is noise: what is left when its motion is differenced away."""

from __future__ import annotations

from math import comb

import numpy as np

from examples.trajectory_3d.arrays import Float64Array

ORDERS = (3, 5, 7)
_NORMAL = 1.4826  # standard deviations in a median absolute deviation of a normal distribution
_FEWEST = 12  # differences


def noise_of(times: Float64Array, points: Float64Array, gap: float = np.inf) -> Float64Array:
    """Standard deviation of the noise of one sample, `noise_from` of the differences of a track: ``[D]``."""
    return noise_from([differences(times, points, order, gap) for order in ORDERS])


def noise_from(found: list[Float64Array]) -> Float64Array:
    """Standard deviation of the noise of one sample from differences ``[n, D]`` of several orders: ``[D]``.

    Of each order 1.4826 times the median of the absolute differences, which no jump, outlier or bounce moves;
    and of these the least. White noise has the same in all orders, but motion has ever less in higher ones,
    as long as it is sampled some ten times a turn; faster motion counts as noise, so that it is an upper
    bound there. Noise that neighbours share (filtered positions) is not seen, so that it is a lower bound
    there. NaN for fewer than 12 differences.
    """
    estimates = [_NORMAL * np.median(np.abs(each), axis=0) for each in found if len(each) >= _FEWEST]
    if not estimates:
        return np.full(found[0].shape[1], np.nan)
    return np.asarray(np.min(estimates, axis=0), dtype=np.float64)


def differences(times: Float64Array, points: Float64Array, order: int, gap: float = np.inf) -> Float64Array:
    """Differences of samples, scaled so that white noise of deviation s has differences of deviation s.

    At even steps the binomial ones, of third order ``(p[i+3] - 3 p[i+2] + 3 p[i+1] - p[i]) / sqrt(20)`` but
    for the sign; at others the divided difference ``sum_i p_i / prod_(j != i) (t_i - t_j)`` over the root of
    its summed squared weights. A polynomial of lower order has none. The idea is that of T. Gasser, L. Sroka
    and C. Jennen-Steinmetz (Biometrika 73, 1986), who take the second order; P. Hall, J. W. Kay and
    D. M. Titterington (Biometrika 77, 1990) weigh longer ones.

    Args:
        times: strictly increasing, ``[n]``.
        points: ``[n, D]``.
        order: of the difference.
        gap: nothing is differenced across a longer step.

    Returns:
        ``[n - order or fewer, D]``.
    """
    steps = np.diff(times)
    if len(steps) < order:
        return np.empty((0, points.shape[1]))
    wide = np.concatenate([[0], np.cumsum(steps > gap)])
    starts = np.flatnonzero(wide[order:] == wide[:-order])
    if np.ptp(steps) <= 1e-6 * steps[0]:  # even: one set of weights, as a long recording has
        signs = np.array([(-1.0) ** place * comb(order, place) for place in range(order + 1)])
        weights = np.broadcast_to(signs[:, None], (order + 1, len(starts)))
    else:
        weights = _divided(times, starts, order)
    weights = weights / np.sqrt(np.square(weights).sum(axis=0))
    made = np.zeros((len(starts), points.shape[1]))
    for place in range(1, order + 1):  # differences from the first point: far origins cost no digits
        made += weights[place][:, None] * (points[starts + place] - points[starts])
    return made


def _divided(
    times: Float64Array, starts: np.ndarray[tuple[int], np.dtype[np.intp]], order: int
) -> Float64Array:
    """Weights of divided differences, up to a factor for each, ``[order + 1, n]``."""
    span = times[starts + order] - times[starts]
    stamps = np.stack([(times[starts + place] - times[starts]) / span for place in range(order + 1)])
    weights = np.ones_like(stamps)
    for place in range(order + 1):
        for other in range(order + 1):
            if other != place:
                weights[place] /= (stamps[place] - stamps[other]) * (order / 2)  # keeps products near 1
    return weights
