"""Rates, noise levels and changes of whole windows: what they do, and that streams stay streams."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.dataset_config import AugmentationConfig, DatasetConfig
from examples.trajectory_3d.datasets import TrajectoryDataset, fixed_set, generate_motion
from examples.trajectory_3d.motions import motion_names
from examples.trajectory_3d.motions.chaotic_systems import SYSTEMS
from examples.trajectory_3d.motions.conditions import Poses, context_size, draw_rates
from m.config import ConfigError, from_dict, load_config, to_dict

WIDE = Path(__file__).parents[2] / "examples/trajectory_3d/configs/wide_3d_moe.yaml"
SMALL = DatasetConfig(
    sequence_length=20,
    prediction_length=6,
    sampling_rate=50.0,
    noise_std=0.0,
    windows_per_block=60,
    type_weights={"helical": 0.4, "robotic": 0.3, "ballistic": 0.3},
)
ALL = AugmentationConfig(rotate=True, mirror=True, reverse=0.5, scale=(0.1, 10.0), shift=2.0)


def distances(paths):
    """All distances within each window, [N, T, T]."""
    return torch.cdist(paths.double(), paths.double())


def changed(**settings):
    plain = fixed_set(SMALL, "train", 60)
    return plain, fixed_set(replace(SMALL, augmentation=AugmentationConfig(**settings)), "train", 60)


def test_without_settings_nothing_changes():
    plain, same = changed()
    assert torch.equal(plain.context, same.context)
    torch.testing.assert_close(same.path, plain.path, rtol=0, atol=0)
    fractions = fixed_set(replace(SMALL, noise_std=0.02, noise_fraction=(0.0, 0.0)), "train", 60)
    assert torch.equal(fractions.context, fixed_set(replace(SMALL, noise_std=0.02), "train", 60).context)


@pytest.mark.parametrize("settings", [{"rotate": True}, {"mirror": True}, {"rotate": True, "mirror": True}])
def test_rotations_and_reflections_keep_all_distances(settings):
    plain, moved = changed(**settings)
    torch.testing.assert_close(distances(moved.path), distances(plain.path), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(moved.path.norm(dim=2), plain.path.norm(dim=2), rtol=1e-5, atol=1e-5)
    assert (moved.path - plain.path).abs().amax(dim=(1, 2)).median() > 0.1


def handedness(paths):
    """Sign of the triple product of three steps of each window."""
    steps = paths.double().diff(dim=1)
    return torch.sign(torch.linalg.det(steps[:, [0, 8, 16]]))


def test_rotations_keep_the_hand_and_mirrors_change_half():
    plain, turned = changed(rotate=True)
    assert torch.equal(handedness(turned.path), handedness(plain.path))
    plain, mirrored = changed(rotate=True, mirror=True)
    other = (handedness(mirrored.path) != handedness(plain.path)).double().mean().item()
    assert 0.3 < other < 0.7


def test_rotations_point_everywhere():
    frames = Poses.draw(np.random.default_rng(0), AugmentationConfig(rotate=True), 20_000).maps
    np.testing.assert_allclose(frames.mean(axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose(
        frames @ frames.transpose(0, 2, 1), np.tile(np.eye(3), (20_000, 1, 1)), atol=1e-12
    )


def test_reversal_plays_windows_backwards():
    plain, backwards = changed(reverse=1.0)
    assert torch.equal(backwards.path, plain.path.flip(1))
    assert torch.equal(backwards.context, plain.path.flip(1)[:, :20])
    plain, some = changed(reverse=0.3)
    flipped = torch.tensor([torch.equal(a, b.flip(0)) for a, b in zip(some.path, plain.path, strict=True)])
    kept = torch.tensor([torch.equal(a, b) for a, b in zip(some.path, plain.path, strict=True)])
    assert (flipped | kept).all()
    assert 0.1 < flipped.double().mean() < 0.5


def test_scale_is_log_uniform_about_the_origin():
    plain, scaled = changed(scale=(0.01, 100.0))
    ratio = (scaled.path.double().norm(dim=(1, 2)) / plain.path.double().norm(dim=(1, 2))).numpy()
    np.testing.assert_allclose(
        scaled.path.numpy(), plain.path.numpy() * ratio[:, None, None], rtol=1e-4, atol=1e-6
    )
    assert ratio.min() < 0.1
    assert ratio.max() > 10.0
    assert np.abs(np.log10(ratio).mean()) < 0.6  # 1.15 / sqrt(60) = 0.15 expected


def test_shift_moves_whole_windows_by_their_size():
    plain, moved = changed(shift=3.0)
    offset = (moved.path - plain.path).double()
    torch.testing.assert_close(offset, offset[:, :1].expand_as(offset), rtol=0, atol=1e-4)
    size = torch.from_numpy(context_size(plain.path[:, :20].numpy()))
    assert (offset[:, 0] / size[:, None]).std().item() == pytest.approx(3.0, rel=0.2)


def test_the_context_is_the_beginning_of_the_changed_path():
    batch = fixed_set(replace(SMALL, augmentation=ALL), "train", 60)
    assert torch.equal(batch.context, batch.clean_context)


def test_noise_follows_the_size_of_every_window():
    config = replace(SMALL, sequence_length=400, noise_fraction=(0.01, 0.05), augmentation=ALL)
    batch = fixed_set(config, "test", 60)
    clean = batch.clean_context.double()
    size = (clean - clean.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2)).sqrt()
    share = (batch.context - batch.clean_context).double().std(dim=(1, 2)) / size
    assert 0.009 < share.min() < 0.02
    assert 0.04 < share.max() < 0.053
    assert share.mean().item() == pytest.approx(0.03, abs=0.006)


def test_skewed_noise_is_mostly_small():
    """A uniform number to the power 3 is below 1/8 half of the time, and 1/4 in the mean."""
    config = replace(SMALL, sequence_length=400, noise_fraction=(0.01, 0.05), noise_skew=3.0)
    batch = fixed_set(config, "test", 300)
    clean = batch.clean_context.double()
    size = (clean - clean.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2)).sqrt()
    share = ((batch.context - batch.clean_context).double().std(dim=(1, 2)) / size - 0.01) / 0.04
    assert share.median().item() == pytest.approx(0.125, abs=0.04)
    assert share.mean().item() == pytest.approx(0.25, abs=0.04)
    assert share.max() > 0.8


def test_both_parts_of_the_noise_add_their_variances():
    config = replace(SMALL, sequence_length=2000, noise_std=0.5, noise_fraction=(0.1, 0.1))
    batch = fixed_set(config, "test", 30)
    size = torch.from_numpy(context_size(batch.clean_context.numpy()))
    noise = (batch.context - batch.clean_context).double().std(dim=(1, 2))
    torch.testing.assert_close(noise, torch.sqrt(0.25 + (0.1 * size) ** 2), rtol=0.05, atol=0)


@pytest.mark.parametrize(("name", "rates"), [("helical", 8), ("ballistic", 200)])
def test_rate_factor_slows_motions_down(name, rates):
    """Helices have constant speed; without gravity and air so have throws: steps tell the factor."""
    options = {
        "helical": {"radius": [2.0, 2.0], "pitch": [0.0, 0.0], "turns": [4.0, 4.0]},
        "ballistic": {"speed": [5.0, 5.0], "gravity": 1e-9, "wind": [0.0, 0.0]},
    }[name]
    config = replace(SMALL, type_weights={name: 1.0}, motion_options={name: options}, windows_per_block=200)
    plain = fixed_set(config, "train", 200)
    varied = fixed_set(replace(config, rate_factor=(0.25, 4.0)), "train", 200)
    step = varied.path.double().diff(dim=1).norm(dim=2).mean(dim=1)
    factor = (plain.path.double().diff(dim=1).norm(dim=2).mean() / step).numpy()
    assert len(np.unique(np.round(np.log(factor), 3))) == pytest.approx(rates, rel=0.1)
    assert 0.24 < factor.min() < 0.4
    assert 2.6 < factor.max() < 4.1
    assert np.log(factor).mean() == pytest.approx(0.0, abs=0.2)


@given(count=st.integers(1, 50), low=st.floats(0.1, 1.0), ratio=st.floats(1.0, 10.0), seed=st.integers(0, 99))
def test_rates_cover_their_range_evenly(count, low, ratio, seed):
    factors = draw_rates(np.random.default_rng(seed), (low, low * ratio), count)
    if ratio > 1.001:
        place = np.sort(np.log(factors / low) / np.log(ratio) * count)
        assert (np.floor(place + 1e-9) >= np.arange(count) - 1e-6).all()
        assert (place <= np.arange(count) + 1 + 1e-6).all()
    else:
        np.testing.assert_allclose(factors, low, rtol=2e-3)


VARIED = replace(SMALL, augmentation=ALL, noise_fraction=(0.0, 0.05), rate_factor=(0.5, 2.0))


@given(batch_size=st.integers(1, 80), start=st.integers(0, 4))
@settings(max_examples=10, deadline=None)
def test_varied_windows_depend_on_their_number_alone(batch_size, start):
    needed = (start + 1) * batch_size
    stream = fixed_set(VARIED, "train", needed)
    batch = next(
        islice(TrajectoryDataset(VARIED, split="train", batch_size=batch_size, start_batch=start), 1)
    )
    rows = slice(start * batch_size, needed)
    torch.testing.assert_close(batch.context, stream.context[rows], rtol=0, atol=0)
    torch.testing.assert_close(batch.path, stream.path[rows], rtol=0, atol=0)


def test_settings_do_not_disturb_each_other():
    """Turning one on leaves the draws of the rest as they were."""
    noisy = fixed_set(replace(VARIED, noise_fraction=(0.05, 0.05)), "train", 60)
    quiet = fixed_set(VARIED, "train", 60)
    assert torch.equal(noisy.path, quiet.path)
    assert not torch.equal(noisy.context, quiet.context)


def test_generate_motion_follows_the_conditions_whatever_the_mix():
    alone = generate_motion("helical", 9, replace(VARIED, type_weights={"helical": 1.0}))
    mixed = generate_motion("helical", 9, VARIED)
    assert torch.equal(alone.path, mixed.path)
    assert torch.equal(alone.context, mixed.context)
    assert not torch.equal(alone.path, generate_motion("helical", 9, SMALL).path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"noise_fraction": (0.1, 0.0)}, r"dataset\.noise_fraction.*low <= high.*0\.1"),
        ({"noise_fraction": (-0.1, 0.1)}, "low >= 0"),
        ({"noise_fraction": 0.1}, "two finite numbers"),
        ({"noise_skew": 0.0}, r"dataset\.noise_skew must be a positive"),
        ({"noise_skew": float("nan")}, r"dataset\.noise_skew must be a positive"),
        ({"rate_factor": (0.0, 1.0)}, r"dataset\.rate_factor.*low > 0"),
        ({"rate_factor": (1.0, float("inf"))}, "finite"),
    ],
)
def test_bad_conditions_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        DatasetConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rotate": 1}, "rotate must be true or false"),
        ({"reverse": 1.5}, "reverse must be a share"),
        ({"shift": -1.0}, "shift must not be negative"),
        ({"scale": (0.0, 1.0)}, r"augmentation\.scale.*low > 0"),
        ({"scale": (1.0, 2.0, 3.0)}, "two finite numbers"),
    ],
)
def test_bad_augmentations_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**values)


def test_a_misspelt_augmentation_is_refused():
    with pytest.raises(ConfigError, match="rotation"):
        from_dict(DatasetConfig, {"augmentation": {"rotation": True}})


def test_noise_in_words():
    assert DatasetConfig().noise_text == "0.02 m"
    assert DatasetConfig(noise_std=0.0).noise_text == "0 m"
    assert DatasetConfig(noise_std=0.0, noise_fraction=(0.0, 0.05)).noise_text == "0-5 % of the window's size"
    assert DatasetConfig(noise_fraction=(0.0, 0.05)).noise_text == "0.02 m and 0-5 % of the window's size"


def test_the_wide_configuration_holds_out_what_it_says():
    config = load_config(ExperimentConfig, WIDE)
    dataset = config.dataset
    assert config.name == "wide_3d_moe"
    assert from_dict(ExperimentConfig, to_dict(config)) == config
    assert set(motion_names()) - set(dataset.type_names) >= {"lorenz", "orbital"}
    held_out = set(SYSTEMS) - set(dataset.motion_options["chaotic"]["systems"])
    assert held_out == {"rossler", "thomas", "sprott_s"}
    assert dataset.augmentation == AugmentationConfig(
        rotate=True, mirror=True, reverse=0.25, scale=(0.3, 3.0), shift=3.0
    )


def test_the_wide_stream_is_finite_and_repeatable():
    dataset = replace(load_config(ExperimentConfig, WIDE).dataset, windows_per_block=256)
    first, second = (fixed_set(dataset, "train", 256) for _ in range(2))
    assert torch.equal(first.context, second.context)
    assert torch.isfinite(first.path).all()
    assert (first.path.double().std(dim=1).norm(dim=1) > 0).double().mean() > 0.97  # robots may rest
    assert len(torch.unique(first.type_ids)) == len(dataset.type_names)
