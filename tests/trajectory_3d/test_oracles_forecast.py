"""Oracles on an evaluation set."""

import numpy as np
import pytest

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.datasets import fixed_set
from examples.trajectory_3d.evaluation_set import EvaluationSet
from examples.trajectory_3d.oracles import (
    errors_over_oracle,
    forecast_with_oracles,
    get_oracle,
    oracle_errors,
)


def evaluation_set(names, count=12, noise=0.02, **options):
    config = DatasetConfig(
        sequence_length=64,
        prediction_length=8,
        sampling_rate=50.0,
        noise_std=noise,
        type_weights={name: 1.0 / len(names) for name in names},
        motion_options=options,
        windows_per_block=64,
    )
    batch = fixed_set(config, "test", count)
    return EvaluationSet(
        context=batch.context.numpy(),
        targets=batch.targets.numpy(),
        type_ids=batch.type_ids.numpy(),
        type_names=batch.type_names,
        dt=config.time_step,
    )


def test_each_window_goes_to_its_own_oracle():
    data = evaluation_set(("helical", "orbital"), orbital={"mu": 30.0})
    result = forecast_with_oracles(data, motion_options={"orbital": {"mu": 30.0}})
    assert result.windows.tolist() == list(range(12))
    assert result.missing_types == ()
    for name, options in (("helical", {}), ("orbital", {"mu": 30.0})):
        rows = np.flatnonzero(data.type_ids == data.type_names.index(name))
        expected = get_oracle(name, "posterior", options).forecast(data.context[rows], 8, data.dt)
        assert np.array_equal(result.forecast.mean[rows], expected)


def test_errors_per_type_and_the_ratio_to_them():
    data = evaluation_set(("helical", "orbital"))
    result = forecast_with_oracles(data, flavour="likelihood")
    errors = oracle_errors(result, data)
    distances = np.linalg.norm(result.forecast.mean - data.targets, axis=2).mean(axis=1)
    for type_id, name in enumerate(data.type_names):
        own = distances[data.type_ids == type_id]
        assert errors[name].count == len(own)
        assert errors[name].position_error == pytest.approx(own.mean())
        assert errors[name].position_error_median == pytest.approx(np.median(own))
        assert errors[name].converged == 1.0
    ratios = errors_over_oracle({"helical": 3 * errors["helical"].position_error, "mine": 1.0}, errors)
    assert ratios["helical"] == pytest.approx(3.0)
    assert ratios["mine"] is None


def test_a_type_without_oracle_is_reported_and_left_out():
    own = evaluation_set(("helical", "orbital"))
    data = EvaluationSet(own.context, own.targets, own.type_ids, ("helical", "my drone"), own.dt)
    result = forecast_with_oracles(data, flavour="likelihood")
    assert result.missing_types == ("my drone",)
    assert result.windows.tolist() == np.flatnonzero(own.type_ids == 0).tolist()
    assert len(result.forecast.mean) == len(result.windows) == len(result.converged)
    assert list(oracle_errors(result, data)) == ["helical"]


def test_a_type_without_windows_is_not_missing():
    own = evaluation_set(("orbital",))
    data = EvaluationSet(own.context, own.targets, own.type_ids, ("orbital", "my drone"), own.dt)
    assert forecast_with_oracles(data, flavour="likelihood").missing_types == ()
