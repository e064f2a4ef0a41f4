"""Requests whose answers are known, for the smoke test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from examples.trajectory_3d.evaluation_set import EvaluationSet
from m.arrays import Array
from m.moe import MoESequenceRegressor
from m.runtime.engine import ExportedEngine
from m.runtime.job import ExportedJob
from m.runtime.model import ExportedModel

QUANTILES = (0.1, 0.9)
_DIGITS = 9  # significant: what the answers are written with
# Share of a context's standard deviation that another processor's rounding may change.
_ROUNDING = 1e-3
_ROLLED = 10.0  # rounding grows with every block that is read back

# context [T, D] or [B, T, D], points, quantiles -> mean, quantiles
Ask = Callable[[Array, int, tuple[float, ...]], tuple[Array, dict[float, Array]]]


def ask_model(model: MoESequenceRegressor) -> Ask:
    """Answers of the model itself."""

    def ask(context: Array, horizon: int, levels: tuple[float, ...]) -> tuple[Array, dict[float, Array]]:
        found = model.forecast(context, horizon)
        return found.mean, {level: found.quantile(level) for level in levels}

    return ask


def ask_exported(model: ExportedModel) -> Ask:
    """Answers of an exported model."""
    engine = ExportedEngine(model)

    def ask(context: Array, horizon: int, levels: tuple[float, ...]) -> tuple[Array, dict[float, Array]]:
        job = ExportedJob.read(model.manifest, context, horizon, quantiles=levels)
        engine.submit(job)
        while engine.busy:
            engine.step()
        found = job.result()
        return found.mean, found.quantiles

    return ask


def known_answers(ask: Ask, windows: EvaluationSet, steps: int) -> dict[str, Any]:
    """Content of ``expected.json``.

    Args:
        ask: what is to be served.
        windows: to ask about, four at least.
        steps: points P that the model gives at once.
    """
    context = windows.context.astype(np.float64)
    wishes: list[tuple[str, Array, int, tuple[float, ...], float]] = [
        ("one path, with quantiles", context[0], steps, QUANTILES, _ROUNDING),
        ("a batch", context[1:4], steps, QUANTILES, _ROUNDING),
        ("a short past", context[0, -max(4, context.shape[1] // 4) :], steps, (), _ROUNDING),
        ("far from the origin", context[1] + 7e6, steps, (), _ROUNDING),
        ("rolled on", context[2], 3 * steps, (), _ROUNDING * _ROLLED),
    ]
    return {"cases": [_case(ask, wish) for wish in wishes]}


def _case(ask: Ask, wish: tuple[str, Array, int, tuple[float, ...], float]) -> dict[str, Any]:
    name, context, horizon, levels, share = wish
    mean, quantiles = ask(context, horizon, levels)
    request: dict[str, Any] = {"points": context.tolist(), "horizon": horizon}
    if levels:
        request["quantiles"] = list(levels)
    far = np.abs(context).max()
    digits = _DIGITS + max(0, int(np.ceil(np.log10(max(far, 1.0)))))
    return {
        "name": name,
        "request": request,
        "mean": _rounded(mean, digits),
        "quantiles": {repr(level): _rounded(values, digits) for level, values in quantiles.items()},
        "tolerance": float(share * context.std(axis=-2).max()),
    }


def _rounded(values: Array, digits: int) -> Any:
    return [_rounded(inner, digits) for inner in values] if values.ndim else float(f"{values:.{digits}g}")
