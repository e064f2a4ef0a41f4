"""``MODEL_CARD.md``: the card for people, written from nothing but ``card.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from examples.trajectory_3d.dataset_config import DatasetConfig
from m.config import dump_yaml, from_dict

Card = Mapping[str, Any]

_TEXT = """\
# {name}

Continues a 3-D path: give it points (x, y, z) at uniform time steps, get the next points with their
uncertainty.
{architecture}

```python
from m import load

# context: [T, 3] or [B, T, 3], in any unit of length
forecast = load("{name}").forecast(context, horizon=16)
forecast.mean, forecast.quantile(0.9), forecast.sample(20)
```

## Trained on

{training}

The data, as the training configuration states it:

```yaml
{dataset}```

## How good it is

{windows} windows of the test stream, never trained on: {context} points seen, {horizon} to forecast
({seconds:g} s). Every figure was measured with the weights of this folder, rounded to {dtype} as they are.
Distances are averaged over the horizon.

{errors}

{interval}

{calibration}

### Other contexts and horizons

{condition_windows} windows each. Spread is the standard deviation of the context, one for the three axes;
the error relative to it (gn) is a geometric mean over windows, then over types.

{conditions}

### Rounding to {dtype}

Mean position error {as_trained:.5g} m with the weights as trained, {as_shipped:.5g} m as shipped; the two
forecasts lie {difference:.2g} m apart on average.

## Limits

{limits}

## This file

{weights} ({megabytes:.2f} MB, SHA-256 `{sha256}`), made {created} with {versions}.
Everything above and more is in `card.json`.
"""


def render_card(card: Card) -> str:
    """Write ``MODEL_CARD.md`` from the content of ``card.json`` (see `card.make_card`)."""
    evaluation, weights, rounding = card["evaluation"], card["weights"], card["rounding"]
    model = evaluation["forecasters"][0]
    versions = ", ".join(f"{name} {version}" for name, version in card["environment"]["versions"].items())
    return _TEXT.format(
        name=model["name"],
        architecture=_architecture(card["model"]),
        training=_training(card),
        dataset=dump_yaml(card["dataset"]),
        windows=evaluation["num_windows"],
        context=evaluation["context_length"],
        horizon=evaluation["horizon"],
        seconds=evaluation["horizon"] * evaluation["dt"],
        dtype=weights["dtype"],
        errors=_error_table(evaluation),
        interval="The 80 % interval of each coordinate should hold 80 % of the truth. It holds:",
        calibration=_calibration(model),
        condition_windows=card["conditions"][0]["windows"],
        conditions=_condition_table(card["conditions"]),
        as_trained=rounding["position_error_as_trained"],
        as_shipped=rounding["position_error_as_shipped"],
        difference=rounding["mean_difference"],
        limits=_limits(card),
        weights=f"`{weights['file']}`",
        megabytes=weights["bytes"] / 1e6,
        sha256=weights["sha256"],
        created=card["created"],
        versions=versions,
    )


def _architecture(model: Card) -> str:
    router = model["router"]
    kind = f"A transformer of {model['n_layers']} layers"
    if router["kind"] != "dense":
        serve = "serves" if router["top_k"] == 1 else "serve"
        kind += f", in each of which {router['top_k']} of "
        kind += f"{router['n_experts']} experts {serve} a point"
        kind += " beside one that serves all" if model["experts"]["shared_hidden_dim"] else ""
    total, active = model["total_parameters"], model["active_parameters"]
    return f"{kind}: {total:,} parameters, {active:,} of them active for a point."


def _training(card: Card) -> str:
    training, dataset = card["training"], card["dataset"]
    shares = ", ".join(f"{name} {weight:.0%}" for name, weight in dataset["type_weights"].items())
    time = training.get("elapsed_seconds")
    duration = f" in {time / 60:.0f} minutes on {training.get('device', 'an unknown device')}" if time else ""
    return (
        f"Generated motion only, no recordings: {shares}. {training['steps']:,} optimizer steps, "
        f"{training['windows_seen']:,} windows{duration}, seed {training['seed']}."
    )


def _error_table(evaluation: Card) -> str:
    """Mean position error: a row for each forecaster, a column for each motion type."""
    forecasters = evaluation["forecasters"]
    own = forecasters[0]["groups"]
    rows = [["mean position error, m", *own]]
    for each in forecasters:
        errors = [figures["metrics"]["position_error"] for figures in each["groups"].values()]
        rows.append([each["name"], *(f"{error:.4g}" for error in errors)])
    rows.append(["*95 % interval of the first*", *map(_interval, own.values())])
    rows.append(["*windows*", *(str(figures["count"]) for figures in own.values())])
    return f"{_table(rows)}\n\nThe interval is a bootstrap over windows. All but the first are classical."


def _interval(figures: Card) -> str:
    bounds = figures["position_error_interval"]
    return "n/a" if bounds is None else f"{bounds[0]:.3g} to {bounds[1]:.3g}"


def _calibration(model: Card) -> str:
    rows = [["motion type", "inside, %", "mean width, m"]]
    rows += [
        [group, f"{100 * figures['uncertainty']['coverage']:.1f}", f"{figures['uncertainty']['width']:.4g}"]
        for group, figures in model["groups"].items()
        if figures["uncertainty"] is not None
    ]
    return _table(rows)


def _condition_table(conditions: Sequence[Card]) -> str:
    rows = [["context", "horizon", "error, m", "error / spread", "best classical, m"]]
    rows += [
        [
            str(each["context"]),
            str(each["horizon"]),
            f"{each['position_error']:.4g}",
            f"{each['gn']:.4g}",
            f"{each['best_baseline_error']:.4g} ({each['best_baseline']})",
        ]
        for each in conditions
    ]
    return _table(rows)


def _limits(card: Card) -> str:
    contexts = [each["context"] for each in card["conditions"]]
    horizons = [each["horizon"] for each in card["conditions"]]
    dataset = card["dataset"]
    limits = (
        "Points must be uniform in time: it sees no time stamps. Resample a recording with gaps or jitter "
        "first.",
        f"Measured with {min(contexts)} to {max(contexts)} points seen and {min(horizons)} to "
        f"{max(horizons)} forecast; beyond that nothing is known.",
        f"Its steps are those of generated motion at {dataset['sampling_rate']:g} Hz. A recording whose "
        "window shows far less or far more of a turn should be resampled to look alike.",
        f"Measurement noise in training: {from_dict(DatasetConfig, dataset).noise_text} on the points seen, "
        "Gaussian, independent from point to point. Outliers are taken for motion.",
        "It knows the past of one point. Obstacles, goals, maps, other movers and controls do not exist for "
        "it, and a change that the past does not announce is not foreseen.",
        "Its uncertainty is calibrated on motion of the kinds above. On other motion, measure the coverage "
        "before relying on it.",
        "Not for decisions on which lives depend.",
    )
    return "\n".join(f"- {limit}" for limit in limits)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown table; the first column is text, the others numbers."""
    rule = ["---", *("---:" for _ in rows[0][1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:]))
