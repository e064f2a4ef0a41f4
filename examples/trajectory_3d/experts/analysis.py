"""The analysis of a model's experts: balance, specialisation, confidence, robustness, worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import entropy

from examples.trajectory_3d.arrays import Float64Array, IntArray
from examples.trajectory_3d.evaluation_set import MIXED, EvaluationSet
from examples.trajectory_3d.experts.collect import LayerTable, RoutingTable, collect_routing
from examples.trajectory_3d.experts.contingency import Contingency, contingency
from examples.trajectory_3d.experts.features import (
    OCTANTS,
    bin_names,
    in_own_frame,
    octants,
    quantile_bins,
    speed_and_curvature,
    window_middles,
)
from examples.trajectory_3d.experts.lesions import Lesions, measure_lesions
from examples.trajectory_3d.recordings.units import unit_label
from m.moe import MoESequenceRegressor

SHELLS, SPEEDS, CURVATURES, PLACES = 3, 4, 4, 4  # bins, of equal numbers of tokens
NOISE_SHARE = 0.01  # of the context's spread per axis: the small noise under which routing should hold


@dataclass(frozen=True)
class Balance:
    """How evenly a layer's experts are used.

    Attributes:
        load: share of the assignments of each expert, [E].
        importance: mean routing probability, [E].
        variation: standard deviation of the load over its mean; 0 is even, sqrt(E - 1) all on one.
        entropy: of the load, relative to that of an even one; 1 is even, 0 all on one.
    """

    load: Float64Array
    importance: Float64Array
    variation: float
    entropy: float

    @property
    def unused(self) -> int:
        """Experts that served nobody."""
        return int((self.load == 0).sum())


@dataclass(frozen=True)
class Confidence:
    """How decided a layer's router is, over all tokens and by motion type.

    Attributes:
        top: mean probability of the best expert; by_type the same, [G].
        margin: mean lead of the best over the second.
        entropy: mean entropy of a token's probabilities, nats.
        top_by_type, entropy_by_type: the same by motion type, [G].
    """

    top: float
    margin: float
    entropy: float
    top_by_type: Float64Array
    entropy_by_type: Float64Array


@dataclass(frozen=True)
class LayerAnalysis:
    """One layer.

    Attributes:
        balance: of its load.
        confidence: of its router.
        specialisations: by what is asked: ``motion type``, ``octant``, ``distance``, ``speed``,
            ``curvature`` and, where windows have several tokens, ``position in the context``.
        together: how often two experts serve one token, [E, E], the diagonal zero; None for top-1 routing.
        stability: share of tokens that keep their best expert under small noise.
        stability_by_type: the same by motion type, [G].
    """

    balance: Balance
    confidence: Confidence
    specialisations: dict[str, Contingency]
    together: IntArray | None
    stability: float
    stability_by_type: Float64Array


@dataclass(frozen=True)
class ExpertAnalysis:
    """A model's experts on a set of windows.

    Attributes:
        types: names of the motion types with windows, G.
        routing: what was analysed.
        framed: the contexts in the model's own frame, [N, L, 3].
        layers: input side first.
        successions: best expert in one layer against that in the next, layers - 1 of them.
        lesions: errors without each expert.
        noise_share: noise of the stability, as a share of the context's spread.
    """

    types: tuple[str, ...]
    routing: RoutingTable
    framed: Float64Array
    layers: tuple[LayerAnalysis, ...]
    successions: tuple[Contingency, ...]
    lesions: Lesions
    noise_share: float

    @property
    def windows(self) -> int:
        """How many windows were routed."""
        return len(self.framed)

    @property
    def tokens(self) -> int:
        """How many tokens each layer routed."""
        return self.windows * len(self.routing.positions)


def analyse_experts(
    model: MoESequenceRegressor, windows: EvaluationSet, *, batch_size: int = 256, seed: int = 0
) -> ExpertAnalysis | None:
    """Route and forecast windows, and say what each expert does.

    Args:
        model: any; for one without experts there is nothing to say.
        windows: as evaluated.
        batch_size: windows at once.
        seed: of the small noise.

    Returns:
        The analysis; None for a dense model.
    """
    if model.config.router.is_dense:
        return None
    routing = collect_routing(model, windows.context, batch_size=batch_size)
    noisy = collect_routing(model, _with_noise(windows, seed), batch_size=batch_size)
    labels = _labels(model, windows, routing.positions)
    layers = tuple(
        _analyse_layer(table, other, labels, windows)
        for table, other in zip(routing.layers, noisy.layers, strict=True)
    )
    return ExpertAnalysis(
        types=tuple(name for name in windows.groups() if name != MIXED),
        routing=routing,
        framed=in_own_frame(model, windows.context),
        layers=layers,
        successions=successions(routing),
        lesions=measure_lesions(model, windows, routing, batch_size=batch_size),
        noise_share=NOISE_SHARE,
    )


def balance(table: LayerTable) -> Balance:
    """How evenly a layer's experts are used."""
    count = table.n_experts
    load = np.bincount(table.experts.reshape(-1), minlength=count) / table.experts.size
    evenness = float(entropy(load, base=count)) if count > 1 else 1.0
    importance = table.probabilities.mean(axis=(0, 1))
    return Balance(load, importance, float(load.std() / load.mean()), evenness)


def confidence(table: LayerTable, members: Sequence[IntArray]) -> Confidence:
    """How decided a layer's router is; ``members`` are the windows of each type."""
    probabilities = table.probabilities
    ordered = np.sort(probabilities, axis=-1)[..., ::-1]
    top = ordered[..., 0]
    margin = top - ordered[..., 1] if table.n_experts > 1 else top
    spread = np.asarray(entropy(probabilities, axis=-1))  # [N, T] nats
    return Confidence(
        top=float(top.mean()),
        margin=float(margin.mean()),
        entropy=float(spread.mean()),
        top_by_type=np.array([top[rows].mean() for rows in members]),
        entropy_by_type=np.array([spread[rows].mean() for rows in members]),
    )


def type_labels(windows: EvaluationSet) -> tuple[IntArray, tuple[str, ...]]:
    """Motion type of each window [N], as an index into the names of the types that have windows."""
    present = tuple(name for name in windows.groups() if name != MIXED)
    order = np.array([present.index(name) if name in present else -1 for name in windows.type_names])
    return order[windows.type_ids], present


def type_specialisation(table: LayerTable, windows: EvaluationSet) -> Contingency:
    """Which experts of a layer serve which motion types, over all tokens of the windows."""
    labels, present = type_labels(windows)
    count, tokens, chosen = table.experts.shape
    flat = table.experts.reshape(count * tokens, chosen)
    return contingency(np.repeat(labels, tokens), flat, present, table.n_experts)


def successions(routing: RoutingTable) -> tuple[Contingency, ...]:
    """Best expert of each token in one layer against that in the next."""
    result = []
    for before, after in zip(routing.layers[:-1], routing.layers[1:], strict=True):
        names = [f"expert {number}" for number in range(before.n_experts)]
        first, second = (table.experts[..., 0].reshape(-1) for table in (before, after))
        result.append(contingency(first, second[:, None], names, after.n_experts))
    return tuple(result)


def together(table: LayerTable) -> IntArray | None:
    """How often each pair of experts serves one token, [E, E] symmetric; None for top-1 routing."""
    if table.experts.shape[-1] == 1:
        return None
    flat = table.experts.reshape(-1, table.experts.shape[-1])
    chosen = np.zeros((len(flat), table.n_experts), dtype=np.int64)
    np.put_along_axis(chosen, flat, 1, axis=1)
    pairs: IntArray = chosen.T @ chosen
    np.fill_diagonal(pairs, 0)
    return pairs


def _analyse_layer(
    table: LayerTable,
    noisy: LayerTable,
    labels: dict[str, tuple[IntArray, tuple[str, ...]]],
    windows: EvaluationSet,
) -> LayerAnalysis:
    members = [rows for name, rows in windows.groups().items() if name != MIXED]
    kept = table.experts[..., 0] == noisy.experts[..., 0]  # [N, T]
    flat = table.experts.reshape(-1, table.experts.shape[-1])
    return LayerAnalysis(
        balance=balance(table),
        confidence=confidence(table, members),
        specialisations={
            question: contingency(label.reshape(-1), flat, names, table.n_experts)
            for question, (label, names) in labels.items()
        },
        together=together(table),
        stability=float(kept.mean()),
        stability_by_type=np.array([kept[rows].mean() for rows in members]),
    )


def _labels(
    model: MoESequenceRegressor, windows: EvaluationSet, positions: IntArray
) -> dict[str, tuple[IntArray, tuple[str, ...]]]:
    """What tokens are asked for: group of each token [N, T], and the groups' names."""
    shape = (len(windows.context), len(positions))
    types, present = type_labels(windows)
    middles = window_middles(model, windows.context, positions)
    speed, curvature = speed_and_curvature(windows.context, positions, windows.dt)
    asked: dict[str, tuple[IntArray, tuple[str, ...]]] = {
        "motion type": (np.broadcast_to(types[:, None], shape), present)
    }
    asked["octant"] = (octants(middles), OCTANTS)
    for question, values, count, unit in (
        ("distance", np.linalg.norm(middles, axis=-1), SHELLS, "spreads"),
        ("speed", speed, SPEEDS, f"{unit_label(windows.unit)}/s"),
        ("curvature", curvature, CURVATURES, f"1/{unit_label(windows.unit)}"),
    ):
        bins, edges = quantile_bins(values, count)
        asked[question] = (bins, bin_names(edges, unit))
    if len(positions) > 1:
        bins, edges = quantile_bins(positions.astype(np.float64) + 1.0, min(PLACES, len(positions)))
        asked["position in the context"] = (np.broadcast_to(bins, shape), bin_names(edges, "points"))
    return asked


def _with_noise(windows: EvaluationSet, seed: int) -> Float64Array:
    """Contexts with small noise added, [N, L, 3]."""
    context = windows.context.astype(np.float64)
    spread = np.sqrt(context.var(axis=1).mean(axis=-1))  # [N] metres per axis
    noise = np.random.default_rng(seed).standard_normal(context.shape)
    noisy: Float64Array = context + NOISE_SHARE * spread[:, None, None] * noise
    return noisy
