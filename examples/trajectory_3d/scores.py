"""What one forecaster scored on groups of windows: the numbers; `scoring` computes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.skill import Skill

# Nominal coverage of a central interval -> the quantile levels at its ends.
CENTRAL_INTERVALS: Mapping[float, tuple[float, float]] = {
    0.5: (0.25, 0.75),
    0.8: (0.1, 0.9),
    0.95: (0.025, 0.975),
}
INTERVAL_LEVELS = CENTRAL_INTERVALS[0.8]
RANK_BINS = 20


@dataclass(frozen=True)
class Uncertainty:
    """How the stated 80 % interval (quantiles 0.1 to 0.9 of each coordinate) fits the truth.

    Attributes:
        coverage: share of true coordinates inside; 0.8 is calibrated, less is overconfident.
        width: mean length of the interval, metres; narrower is better at equal coverage.
    """

    coverage: float
    width: float


@dataclass(frozen=True)
class RankHistogram:
    """Where the truth falls in the forecast distribution, all coordinates and steps together.

    Attributes:
        shares: of the truths in each of `RANK_BINS` equal parts of the probability, [RANK_BINS]; flat is
            calibrated.
        unevenness: half the sum of the distances from flat, 0 to 1; see `probabilistic.unevenness`.
        source: told from sampled paths, or from the density where there are no samples.
    """

    shares: Float64Array
    unevenness: float
    source: Literal["samples", "density"]


@dataclass(frozen=True)
class DistributionScores:
    """Scores of a forecast distribution; each is None when the forecaster states what it needs nowhere.

    Attributes:
        nll: negative log-likelihood of the stated density, nats per coordinate in metres; inf when the
            density excludes a truth.
        nll_normalised: the same for coordinates in units of the context's spread, over the windows that have
            one: free of scale; nll less the mean logarithm of the spread.
        crps: continuous ranked probability score per coordinate, metres; from the density in closed form,
            else from samples.
        crps_normalised: mean over windows of crps / context spread, over the windows that have one.
        energy_score: of the joint path, from samples, metres of root mean square distance.
        coverage_per_step: nominal coverage -> share of true coordinates inside that central interval at
            each step, [H].
        ranks: rank histogram.
    """

    nll: float | None
    nll_normalised: float | None
    crps: float | None
    crps_normalised: float | None
    energy_score: float | None
    coverage_per_step: Mapping[float, Float64Array]
    ranks: RankHistogram | None


@dataclass(frozen=True)
class ReferenceRatio:
    """Position error over that of a reference on the same windows; 1 is as good, less is better.

    Attributes:
        mean: ratio of the mean errors; inf when only the reference makes none, NaN when neither does.
        median: ratio of the median errors, likewise.
        count: windows that the reference forecasts.
    """

    mean: float
    median: float
    count: int


@dataclass(frozen=True)
class GroupScores:
    """What one forecaster scored on one group of windows.

    Attributes:
        count: number of windows.
        metrics: name -> value over the windows (see `metrics.compute_metrics`); NaN where undefined.
        position_error_median: median over windows, metres.
        position_error_interval: 95 % bootstrap interval of the mean position error, metres; NaN for
            fewer than two windows.
        error_per_step: mean distance at each forecast step, [H] metres.
        uncertainty: None when the forecaster states no 80 % interval.
        skill: scale-free errors, the headline `gn` among them.
        distribution: None when the forecaster states no distribution at all.
        reference_ratio: None without a reference, or when it forecasts none of the windows.
    """

    count: int
    metrics: Mapping[str, float]
    position_error_median: float
    position_error_interval: tuple[float, float]
    error_per_step: Float64Array
    uncertainty: Uncertainty | None
    skill: Skill
    distribution: DistributionScores | None
    reference_ratio: ReferenceRatio | None = None


@dataclass(frozen=True)
class ForecasterScores:
    """Scores of one forecaster: type name (and 'mixed') -> scores. Absent types have no entry."""

    name: str
    is_baseline: bool
    groups: Mapping[str, GroupScores]
