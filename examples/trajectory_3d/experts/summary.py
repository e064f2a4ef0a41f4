"""The analysis of experts in words, as rows of tables, and as JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, FloatArray
from examples.trajectory_3d.experts.analysis import ExpertAnalysis, LayerAnalysis
from examples.trajectory_3d.experts.contingency import Contingency

Rows = list[list[str]]
MOTION = "motion type"
SIGNIFICANT = 0.01
AGREES = 0.3  # least rank correlation of serving and being missed that is called one


def to_json(analysis: ExpertAnalysis) -> dict[str, Any]:
    """Turn the analysis into plain dicts, lists, strings and finite numbers; undefined values are None."""
    lesions = analysis.lesions
    return {
        "types": list(analysis.types),
        "windows": analysis.windows,
        "tokens": analysis.tokens,
        "noise_share": analysis.noise_share,
        "layers": [_layer_json(layer) for layer in analysis.layers],
        "successions": [_contingency_json(table) for table in analysis.successions],
        "lesions": {
            "groups": list(lesions.groups),
            "position_error": numbers(lesions.whole),
            "position_error_without": numbers(lesions.damaged),
            "served": numbers(lesions.served),
            "harm": numbers(lesions.harm),
            "agreement": [_number(lesions.agreement(i)) for i in range(len(analysis.layers))],
        },
    }


def claims(analysis: ExpertAnalysis) -> list[str]:
    """What the numbers say, in sentences; every one is computed."""
    return [*service_claims(analysis), *worth_claims(analysis)]


def service_claims(analysis: ExpertAnalysis) -> list[str]:
    """How the work is shared, and who serves whom."""
    return [*_balance_claims(analysis), *_type_claims(analysis)]


def expert_tables(analysis: ExpertAnalysis) -> list[tuple[str, Rows]]:
    """Titles and rows of everything that a text says of experts."""
    tables = [
        ("Experts by layer", overview_rows(analysis)),
        ("What the chosen expert says, % of the entropy (by chance)", information_rows(analysis)),
    ]
    for index, layer in enumerate(analysis.layers):
        tables.append((f"Layer {index}: share of a type's choices, %", share_rows(layer)))
        tables.append(
            (f"Layer {index}: growth of the error without an expert, %", harm_rows(analysis, index))
        )
    return tables


def overview_rows(analysis: ExpertAnalysis) -> Rows:
    """A row a layer: balance, confidence, stability, and how far serving and harm agree."""
    rows = [
        [
            *("layer", "busiest", "idle", "variation", "entropy", "best prob.", "margin", "choice nats"),
            *("kept in noise", "type known", "agreement"),
        ]
    ]
    for index, layer in enumerate(analysis.layers):
        known = layer.specialisations[MOTION]
        rows.append(
            [
                str(index),
                f"{100 * layer.balance.load.max():.0f} %",
                str(layer.balance.unused),
                f"{layer.balance.variation:.2f}",
                f"{layer.balance.entropy:.2f}",
                f"{layer.confidence.top:.2f}",
                f"{layer.confidence.margin:.2f}",
                f"{layer.confidence.entropy:.2f}",
                f"{100 * layer.stability:.0f} %",
                f"{100 * known.explained:.0f} %",
                _plain(analysis.lesions.agreement(index)),
            ]
        )
    return rows


def share_rows(layer: LayerAnalysis, question: str = MOTION) -> Rows:
    """Share of each expert in the assignments of each group, percent."""
    table = layer.specialisations[question]
    rows = [[question, *(f"e{number}" for number in range(table.counts.shape[1]))]]
    for name, shares in zip(table.groups, table.shares, strict=True):
        rows.append([name, *("-" if math.isnan(share) else f"{100 * share:.0f}" for share in shares)])
    return rows


def information_rows(analysis: ExpertAnalysis) -> Rows:
    """What an expert says of every question, in percent of its entropy; in brackets what chance would."""
    questions = list(analysis.layers[0].specialisations)
    rows = [["layer", *questions]]
    for index, layer in enumerate(analysis.layers):
        cells = []
        for question in questions:
            table = layer.specialisations[question]
            chance = table.chance / table.group_entropy if table.group_entropy > 0 else 0.0
            cells.append(f"{100 * table.explained:.1f} ({100 * chance:.1f})")
        rows.append([str(index), *cells])
    return rows


def harm_rows(analysis: ExpertAnalysis, layer: int) -> Rows:
    """Growth of each type's error without each expert, percent."""
    harm = analysis.lesions.harm[layer]
    rows = [["without", *analysis.lesions.groups]]
    for expert, values in enumerate(harm):
        rows.append([f"expert {expert}", *(f"{100 * value:+.1f}" for value in values)])
    return rows


def _balance_claims(analysis: ExpertAnalysis) -> list[str]:
    busiest = max(range(len(analysis.layers)), key=lambda i: analysis.layers[i].balance.load.max())
    load = analysis.layers[busiest].balance.load
    idle = sum(layer.balance.unused for layer in analysis.layers)
    times = f"{load.max() * len(load):.1f} times an even share"
    nobody = "serves nobody" if idle == 1 else "serve nobody"
    none = "No expert is idle." if not idle else f"{idle} of {_count(analysis)} experts {nobody}."
    work = f"The busiest expert does {100 * load.max():.0f} % of layer {busiest}'s work, {times}."
    return [f"{work} {none}"]


def _type_claims(analysis: ExpertAnalysis) -> list[str]:
    if len(analysis.types) < 2:
        return []
    tables = [layer.specialisations[MOTION] for layer in analysis.layers]
    best = max(range(len(tables)), key=lambda i: tables[i].explained)
    table = tables[best]
    if table.p_value > SIGNIFICANT:
        return ["In no layer do the experts tell motion types apart beyond chance."]
    chance = 100 * table.chance / table.group_entropy
    told = (
        f"Experts of layer {best} say most of the motion type: {100 * table.explained:.0f} % of what "
        f"there is to know (chance: {chance:.1f} %)."
    )
    layer, group, expert = _strongest_lift(tables)
    chosen = tables[layer]
    return [
        told,
        f"Expert {expert} of layer {layer} serves {chosen.groups[group]} "
        f"{chosen.lift[group, expert]:.1f} times as often as motion at large "
        f"({100 * chosen.shares[group, expert]:.0f} % of its choices).",
    ]


def _strongest_lift(tables: list[Contingency]) -> tuple[int, int, int]:
    """Layer, group and expert of the largest lift among pairs of at least 5 % of a group's choices."""
    best, found = -1.0, (0, 0, 0)
    for layer, table in enumerate(tables):
        lift = np.where(table.shares >= 0.05, np.nan_to_num(table.lift, nan=-1.0), -1.0)
        group, expert = np.unravel_index(int(lift.argmax()), lift.shape)
        if lift[group, expert] > best:
            best, found = float(lift[group, expert]), (layer, int(group), int(expert))
    return found


def worth_claims(analysis: ExpertAnalysis) -> list[str]:
    """What is missed without an expert, and by whom."""
    lesions = analysis.lesions
    useful = int((lesions.harm.max(axis=-1) > SIGNIFICANT).sum())
    if not useful:
        return ["No expert is missed: whichever is switched off, no type's error grows by more than 1 %."]
    layer, expert, group = np.unravel_index(int(lesions.harm.argmax()), lesions.harm.shape)
    return [
        f"Switching off expert {expert} of layer {layer} does most harm: the error of "
        f"{lesions.groups[group]} grows by {100 * lesions.harm[layer, expert, group]:.0f} %.",
        f"Without {useful} of the {_count(analysis)} experts some type's error grows by more than 1 %.",
        *_agreement_claims([lesions.agreement(index) for index in range(len(analysis.layers))]),
    ]


def _agreement_claims(agreement: list[float]) -> list[str]:
    """Whether those who serve a type are missed by it; the words follow the correlations of the layers."""
    stated = [value for value in agreement if not math.isnan(value)]
    if not stated:
        return []
    low, high = f"{min(stated):.2f}", f"{max(stated):.2f}"
    if min(stated) >= AGREES:
        found = "Who serves a type more is missed more by it"
    elif max(stated) >= AGREES:
        found = "In some layers only, who serves a type more is missed more by it"
    else:
        found = "Who serves a type more is hardly missed more by it"
    return [f"{found}: rank correlation {low if low == high else f'{low} to {high} by layer'}."]


def _count(analysis: ExpertAnalysis) -> int:
    return sum(len(layer.balance.load) for layer in analysis.layers)


def partner_shares(layer: LayerAnalysis) -> Float64Array:
    """Of the tokens that an expert serves, the share that each other one serves too, [E, E].

    NaN on the diagonal, and for an expert that serves nobody.

    Raises:
        ValueError: a layer whose tokens are served by one expert each.
    """
    if layer.together is None:
        raise ValueError("with top-1 routing no two experts serve one token")
    served = layer.specialisations[MOTION].counts.sum(axis=0).astype(np.float64)  # tokens of each expert, [E]
    served[served == 0] = np.nan
    shares: Float64Array = layer.together / served[:, None]
    np.fill_diagonal(shares, np.nan)
    return shares


def _layer_json(layer: LayerAnalysis) -> dict[str, Any]:
    load, trust = layer.balance, layer.confidence
    return {
        "load": numbers(load.load),
        "importance": numbers(load.importance),
        "variation": load.variation,
        "load_entropy": load.entropy,
        "unused": load.unused,
        "top_probability": trust.top,
        "margin": trust.margin,
        "entropy": trust.entropy,
        "top_probability_by_type": numbers(trust.top_by_type),
        "entropy_by_type": numbers(trust.entropy_by_type),
        "specialisations": {name: _contingency_json(t) for name, t in layer.specialisations.items()},
        "together": None if layer.together is None else layer.together.tolist(),
        "together_shares": None if layer.together is None else numbers(partner_shares(layer)),
        "stability": layer.stability,
        "stability_by_type": numbers(layer.stability_by_type),
    }


def _contingency_json(table: Contingency) -> dict[str, Any]:
    return {
        "groups": list(table.groups),
        "counts": table.counts.tolist(),
        "shares": numbers(table.shares),
        "lift": numbers(table.lift),
        "information_bits": table.information,
        "chance_bits": table.chance,
        "explained": table.explained,
        "p_value": table.p_value,
    }


def numbers(values: FloatArray) -> Any:
    """Nested lists of an array, with None for what is not finite."""
    if values.ndim == 0:
        return _number(float(values))
    return [numbers(row) for row in values]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plain(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
