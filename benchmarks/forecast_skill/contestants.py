"""Who can enter: every peer, the mixture of experts of a configuration, and a plain transformer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.forecast_skill.recipes import ENDLESS, RECIPES, PeerRecipe
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.datasets import stream_batches
from examples.trajectory_3d.forecasters import FloatArray, PathForecast
from examples.trajectory_3d.training import sequence_batch, training_batches
from m.config import load_config, nearest_hint, to_dict
from m.moe import MoESequenceRegressor, SequenceBatch
from m.training import TrainingConfig

PLAIN_TRANSFORMER = Path(__file__).with_name("plain_transformer.yaml")
MOE = "moe"
PLAIN = "plain-transformer"
NAMES = (*RECIPES, PLAIN, MOE)


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A model that can be trained by the clock and judged.

    Attributes:
        name: on the command line and in file names.
        title: in tables.
        training: batch size, rates, clipping, averaging, precision; its schedule is not used.
        build: makes the untrained model, a `TrainableModel`.
        batches: the training stream from a micro-batch on.
        forecast: centre of a model's forecasts for contexts ``[B, L, 3]`` and a horizon.
        description: JSON that tells one set-up from another when a race is resumed.
    """

    name: str
    title: str
    training: TrainingConfig
    build: Callable[[], nn.Module]
    batches: Callable[[int], Iterator[SequenceBatch]]
    forecast: Callable[[nn.Module, FloatArray, int], FloatArray]
    description: str


@dataclass(frozen=True)
class TrainedForecaster:
    """A contestant's model as a `Forecaster`: the centre alone, which is what the race is about."""

    contestant: Contestant
    model: nn.Module

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.contestant.name

    def forecast(self, context: FloatArray, horizon: int) -> PathForecast:
        """Continue paths ``[B, L, 3]``."""
        return PathForecast(mean=self.contestant.forecast(self.model, context, horizon))


def make_contestant(name: str, experiment: ExperimentConfig, label: str = "") -> Contestant:
    """A contestant on the data of ``experiment``, with the experiment's seed.

    Args:
        name: one of `NAMES`.
        experiment: the data for all, and the model and training of "moe".
        label: appended to the name of "moe", so that one folder can hold several variants of it.

    Raises:
        ValueError: an unknown name.
    """
    if name in RECIPES:
        return make_peer(name, RECIPES[name], experiment.dataset, experiment.training.seed)
    if name == MOE:
        title = label or experiment.name
        return _regressor(f"{name}-{label}" if label else name, f"MoE ({title})", experiment)
    if name == PLAIN:
        plain = load_config(ExperimentConfig, PLAIN_TRANSFORMER)
        seeded = replace(plain.training, seed=experiment.training.seed)
        plain = replace(plain, dataset=experiment.dataset, training=seeded)
        return _regressor(name, "plain transformer", plain)
    raise ValueError(f"unknown model '{name}'{nearest_hint(name, NAMES)}; known: {', '.join(NAMES)}")


def make_peer(name: str, recipe: PeerRecipe, dataset: DatasetConfig, seed: int) -> Contestant:
    """A peer as a contestant."""
    length, horizon = dataset.sequence_length, dataset.prediction_length

    def batches(first: int) -> Iterator[SequenceBatch]:
        stream = stream_batches(dataset, split="train", batch_size=recipe.batch_size, start_batch=first)
        return (sequence_batch(batch, horizon) for batch in stream)

    training = recipe.training(seed)
    return Contestant(
        name=name,
        title=recipe.title,
        training=training,
        build=lambda: recipe.build(length, horizon),
        batches=batches,
        forecast=_forecast_with_peer,
        description=_describe(
            peer=name, options=dict(recipe.options), loss=recipe.loss, training=to_dict(training)
        ),
    )


def _regressor(name: str, title: str, experiment: ExperimentConfig) -> Contestant:
    training = replace(experiment.training, max_steps=ENDLESS, warmup_steps=0)
    experiment = replace(experiment, training=training)
    return Contestant(
        name=name,
        title=title,
        training=training,
        build=lambda: MoESequenceRegressor(experiment.model),
        batches=lambda first: training_batches(experiment, first),
        forecast=_forecast_with_regressor,
        description=_describe(model=to_dict(experiment.model), training=to_dict(training)),
    )


def _describe(**parts: Any) -> str:
    return json.dumps(parts, sort_keys=True)


def _forecast_with_peer(model: nn.Module, context: FloatArray, horizon: int) -> FloatArray:
    device = next(model.parameters()).device
    with torch.no_grad():
        forecast = model(torch.from_numpy(context).to(device))  # [B, H, 3]
    if forecast.shape[1] != horizon:
        raise ValueError(f"the peer was built for {forecast.shape[1]} steps, not for {horizon}")
    return np.asarray(forecast.cpu().numpy())


def _forecast_with_regressor(model: nn.Module, context: FloatArray, horizon: int) -> FloatArray:
    if not isinstance(model, MoESequenceRegressor):
        raise TypeError(f"expected a MoESequenceRegressor, got {type(model).__name__}")
    return model.forecast(context, horizon).mean
