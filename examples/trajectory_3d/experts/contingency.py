"""Who is served by whom: counts of groups against experts, and how much one says of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, entropy

from examples.trajectory_3d.arrays import Float64Array, IntArray


@dataclass(frozen=True)
class Contingency:
    """Assignments of tokens of G groups to E experts.

    Attributes:
        groups: what the rows are, G names.
        counts: [G, E] assignments; a token with K experts counts K times.
        tokens_per_assignment: 1 / K: how many independent observations an assignment stands for, at most.
    """

    groups: tuple[str, ...]
    counts: IntArray
    tokens_per_assignment: float = 1.0

    @property
    def shares(self) -> Float64Array:
        """P(expert | group), [G, E]; rows of groups without tokens are NaN."""
        totals = self.counts.sum(axis=1, keepdims=True)
        shares = np.full(self.counts.shape, np.nan)
        np.divide(self.counts, totals, out=shares, where=totals > 0)
        return shares

    @property
    def lift(self) -> Float64Array:
        """P(expert | group) / P(expert), [G, E]: 1 is chance; NaN where either has nothing."""
        overall = self.counts.sum(axis=0) / max(int(self.counts.sum()), 1)
        lift = np.full(self.counts.shape, np.nan)
        np.divide(self.shares, overall, out=lift, where=overall > 0)
        return lift

    @property
    def information(self) -> float:
        """Mutual information of group and expert, bits: what knowing one says of the other."""
        joint = self.counts / max(int(self.counts.sum()), 1)
        product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
        seen = joint > 0
        return float(np.sum(joint[seen] * np.log2(joint[seen] / product[seen])))

    @property
    def group_entropy(self) -> float:
        """Entropy of the groups, bits: the most that an expert could say of the group."""
        sizes = self.counts.sum(axis=1)
        return float(entropy(sizes, base=2)) if sizes.any() else 0.0

    @property
    def explained(self) -> float:
        """Information as a share of the groups' entropy, 0 to 1; 0 for a single group."""
        entropy = self.group_entropy
        return self.information / entropy if entropy > 0 else 0.0

    @property
    def chance(self) -> float:
        """Information to be expected, in bits, if experts were chosen whatever the group.

        Twice the observations times the information in nats then follows chi squared, whose mean is its
        number of degrees of freedom (G. Miller and W. Madow's correction).
        """
        observations = self._observations()
        return self._freedom() / (2.0 * observations * np.log(2.0)) if observations else 0.0

    @property
    def p_value(self) -> float:
        """Chance of so much information without any link, by the G test; tokens taken as independent."""
        freedom = self._freedom()
        if freedom == 0:
            return 1.0
        statistic = 2.0 * self._observations() * np.log(2.0) * self.information
        return float(chi2.sf(statistic, freedom))

    def _observations(self) -> float:
        return float(self.counts.sum()) * self.tokens_per_assignment

    def _freedom(self) -> int:
        rows, columns = (int((self.counts.sum(axis=axis) > 0).sum()) for axis in (1, 0))
        return max(rows - 1, 0) * max(columns - 1, 0)


def contingency(labels: IntArray, experts: IntArray, groups: Sequence[str], n_experts: int) -> Contingency:
    """Count assignments.

    Args:
        labels: group of each token, [N]; negative ones are left out.
        experts: chosen experts of each token, [N, K].
        groups: names of the groups.
        n_experts: E.
    """
    known = labels >= 0
    rows = np.repeat(labels[known], experts.shape[1])
    cells = rows * n_experts + experts[known].reshape(-1)
    counts = np.bincount(cells, minlength=len(groups) * n_experts).reshape(len(groups), n_experts)
    return Contingency(tuple(groups), counts, 1.0 / experts.shape[1])
