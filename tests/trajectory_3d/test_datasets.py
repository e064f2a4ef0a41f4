"""The streams: what a window holds, and that it depends on seed, split and position alone."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.datasets import (
    StreamCut,
    TrajectoryBatch,
    TrajectoryDataset,
    fixed_set,
    generate_motion,
    stream_batches,
)
from examples.trajectory_3d.motions import motion_names, register_motion, registry

SMALL = DatasetConfig(
    sequence_length=10,
    prediction_length=4,
    sampling_rate=50.0,
    windows_per_block=24,
    seed=7,
    type_weights={"helical": 0.5, "orbital": 0.3, "robotic": 0.2},
)


def joined(batches):
    """All windows of some batches as one batch."""
    parts = list(batches)
    return TrajectoryBatch(
        context=torch.cat([part.context for part in parts]),
        path=torch.cat([part.path for part in parts]),
        type_ids=torch.cat([part.type_ids for part in parts]),
        type_names=parts[0].type_names,
    )


def equal(first, second):
    return (
        torch.equal(first.context, second.context)
        and torch.equal(first.path, second.path)
        and torch.equal(first.type_ids, second.type_ids)
        and first.type_names == second.type_names
    )


def take(count, config=SMALL, **options):
    return list(islice(TrajectoryDataset(config, **{"split": "train", "batch_size": 5, **options}), count))


def test_batch_shapes_and_types():
    batch = fixed_set(SMALL, "test", 30)
    assert batch.context.shape == (30, 10, 3)
    assert batch.path.shape == (30, 14, 3)
    assert batch.targets.shape == (30, 4, 3)
    assert batch.context.dtype == batch.path.dtype == torch.float32
    assert batch.type_ids.dtype == torch.int64
    assert batch.type_names == ("helical", "orbital", "robotic")
    assert (batch.num_sequences, batch.num_tokens) == (30, 300)
    torch.testing.assert_close(torch.cat([batch.clean_context, batch.targets], dim=1), batch.path)
    assert batch.to("meta").path.device.type == "meta"


@given(batch_size=st.integers(1, 80), start=st.integers(0, 6), block=st.sampled_from([1, 7, 24]))
@settings(max_examples=25, deadline=None)
def test_windows_do_not_depend_on_batch_size_or_start(batch_size, start, block):
    config = replace(SMALL, windows_per_block=block)
    needed = (start + 2) * batch_size
    stream = fixed_set(config, "train", needed)
    batches = joined(take(2, config, batch_size=batch_size, start_batch=start))
    rows = slice(start * batch_size, needed)
    torch.testing.assert_close(batches.context, stream.context[rows], rtol=0, atol=0)
    torch.testing.assert_close(batches.path, stream.path[rows], rtol=0, atol=0)
    torch.testing.assert_close(batches.type_ids, stream.type_ids[rows], rtol=0, atol=0)


@given(
    batch_size=st.integers(1, 50),
    block=st.integers(1, 50),
    world=st.integers(1, 4),
    index=st.integers(0, 20),
)
def test_pieces_tile_the_stream(batch_size, block, world, index):
    """The ranks' n-th batches together are one stretch of the stream, without gap or overlap."""
    windows = [
        number * block + row
        for rank in range(world)
        for number, rows in StreamCut(batch_size, block, rank, world).pieces(index)
        for row in range(rows.start, rows.stop)
    ]
    first = index * world * batch_size
    assert windows == list(range(first, first + world * batch_size))


@given(
    batch_size=st.integers(1, 9), block=st.integers(1, 40), world=st.integers(1, 9), start=st.integers(0, 9)
)
def test_needed_blocks_are_those_of_the_pieces(batch_size, block, world, start):
    cut = StreamCut(batch_size, block, world - 1, world)
    pieces = [number for index in range(start, start + 10) for number, _ in cut.pieces(index)]
    expected = sorted(set(pieces))
    assert list(islice(cut.blocks(start), len(expected))) == expected


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_out_the_stream(world_size):
    whole = take(6)
    ranks = [take(6 // world_size, rank=rank, world_size=world_size) for rank in range(world_size)]
    interleaved = [ranks[i % world_size][i // world_size] for i in range(6)]
    assert equal(joined(interleaved), joined(whole))


def test_start_batch_counts_a_ranks_own_batches():
    ahead = take(5, rank=1, world_size=2)
    assert equal(joined(take(2, rank=1, world_size=2, start_batch=3)), joined(ahead[3:]))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores, on purpose
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_streams_are_the_same_for_any_number_of_workers(workers):
    options = {"split": "train", "batch_size": 7, "start_batch": 2, "rank": 1, "world_size": 2}
    expected = joined(take(12, **options))
    shared = stream_batches(SMALL, num_workers=workers, **options)
    assert equal(joined(islice(shared, 12)), expected)
    if workers > 1:
        loader = DataLoader(TrajectoryDataset(SMALL, **options), batch_size=None, num_workers=workers)
        assert equal(joined(islice(loader, 12)), expected)


def test_workers_leave_the_global_random_state_alone():
    state = torch.get_rng_state()
    next(stream_batches(SMALL, split="train", batch_size=4, num_workers=1))
    next(stream_batches(SMALL, split="train", batch_size=4, num_workers=0))
    assert torch.equal(torch.get_rng_state(), state)


def test_interrupt_does_not_stop_workers():
    before = {child.pid for child in multiprocessing.active_children()}
    stream = stream_batches(SMALL, split="train", batch_size=24, num_workers=1)
    first = next(stream)
    workers = [child for child in multiprocessing.active_children() if child.pid not in before]
    assert len(workers) == 1
    os.kill(workers[0].pid, signal.SIGINT)
    # Prefetch holds two blocks; only a living worker can deliver ten.
    assert equal(joined([first, *islice(stream, 9)]), fixed_set(SMALL, "train", 240))


def test_the_same_seed_gives_the_same_stream_in_another_process():
    script = (
        "from examples.trajectory_3d.dataset_config import DatasetConfig\n"
        "from examples.trajectory_3d.datasets import fixed_set\n"
        "from examples.trajectory_3d.recordings.options import ReadOptions\n"
        "from examples.trajectory_3d.recordings_config import SplitConfig\n"
        f"batch = fixed_set({SMALL!r}, 'train', 20)\n"
        "print(batch.context.double().sum().item(), batch.path.double().sum().item())"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
    batch = fixed_set(SMALL, "train", 20)
    expected = [batch.context.double().sum().item(), batch.path.double().sum().item()]
    assert [float(value) for value in run.stdout.split()] == expected


def test_splits_and_seeds_never_share_windows():
    sets = [fixed_set(SMALL, split, 60) for split in ("train", "validation", "test")]
    sets += [fixed_set(SMALL, "train", 60, seed=8), fixed_set(replace(SMALL, seed=9), "train", 60)]
    starts = torch.cat([batch.path.reshape(60, -1) for batch in sets])
    distance = torch.cdist(starts, starts) + torch.eye(300) * 1e9
    assert distance.min() > 1e-3


def test_seed_argument_replaces_the_configured_seed():
    assert equal(fixed_set(SMALL, "train", 9, seed=3), fixed_set(replace(SMALL, seed=3), "train", 9))


def test_blocks_never_repeat():
    batch = fixed_set(SMALL, "train", 240)
    flat = batch.path.reshape(240, -1)
    assert (torch.cdist(flat, flat) + torch.eye(240) * 1e9).min() > 1e-3


def test_noise_falls_on_the_context_only():
    noisy = fixed_set(replace(SMALL, noise_std=0.05, windows_per_block=2000), "train", 2000)
    clean = fixed_set(replace(SMALL, noise_std=0.0, windows_per_block=2000), "train", 2000)
    assert torch.equal(noisy.path, clean.path)
    assert torch.equal(clean.context, clean.clean_context)
    noise = (noisy.context - noisy.clean_context).double()
    assert noise.std().item() == pytest.approx(0.05, rel=0.02)  # 60,000 samples: 0.3 % expected
    assert abs(noise.mean().item()) < 1e-3
    successive = (noise[:, 1:] * noise[:, :-1]).mean() / noise.square().mean()
    assert abs(successive.item()) < 0.03  # white


def test_types_follow_their_weights():
    batch = fixed_set(replace(SMALL, windows_per_block=4000), "train", 4000)
    shares = torch.bincount(batch.type_ids, minlength=3) / 4000
    np.testing.assert_allclose(shares.numpy(), [0.5, 0.3, 0.2], atol=0.03)
    runs = (batch.type_ids[1:] != batch.type_ids[:-1]).double().mean().item()
    assert runs == pytest.approx(1 - (0.25 + 0.09 + 0.04), abs=0.04)  # mixed within the block


def test_windows_are_of_the_type_they_say():
    config = replace(SMALL, type_weights={"helical": 0.5, "orbital": 0.5})
    config = replace(config, motion_options={"helical": {"centre": (50.0, 50.0)}})
    batch = fixed_set(config, "train", 100)
    far = batch.path[:, 0].norm(dim=1) > 40.0
    assert torch.equal(far, batch.type_ids == 0)


def test_a_type_of_weight_zero_never_comes():
    config = replace(SMALL, type_weights={"helical": 0.0, "orbital": 1.0})
    assert (fixed_set(config, "train", 100).type_ids == 1).all()


def test_generate_motion_does_not_depend_on_the_mix():
    alone = generate_motion("orbital", 5, replace(SMALL, type_weights={"orbital": 1.0}))
    mixed = generate_motion("orbital", 5, SMALL)
    assert torch.equal(alone.path, mixed.path)


@pytest.mark.parametrize("name", ["helical", "orbital", "lissajous", "lorenz", "robotic"])
def test_generate_motion_gives_one_type(name):
    batch = generate_motion(name, 4, SMALL, seed=1)
    assert batch.path.shape == (4, 14, 3)
    assert {batch.type_names[i] for i in batch.type_ids} == {name}
    assert batch.type_names[:3] == SMALL.type_names
    assert not torch.equal(batch.path, generate_motion(name, 4, SMALL, seed=2).path)


def test_float32_paths_are_the_motions_at_the_sampling_times():
    """The stream holds the registered function's paths, only rounded: curvature of a fixed helix."""
    config = replace(
        SMALL,
        sampling_rate=200.0,
        noise_std=0.0,
        type_weights={"helical": 1.0},
        motion_options={"helical": {"radius": [2.0, 2.0], "pitch": [0.0, 0.0], "turns": [5.0, 5.0]}},
    )
    path = fixed_set(config, "test", 20).path.double()
    step = path.diff(dim=1).norm(dim=2)  # chord of a circle: 2 r sin(rate dt / 2)
    torch.testing.assert_close(
        step, torch.full_like(step, 4.0 * np.sin(np.pi * 0.5 / 200.0)), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type_weights": {"helical": 0.5, "orbital": 0.4}}, "sums to 0.9"),
        ({"type_weights": {"helical": 1.5, "orbital": -0.5}}, "'orbital'.*-0.5"),
        ({"type_weights": {}}, "empty"),
        ({"type_weights": {"helical": float("nan")}}, "nan"),
        ({"sequence_length": 0}, "sequence_length.*0"),
        ({"sequence_length": 12.5}, "sequence_length.*12.5"),
        ({"prediction_length": -3}, "prediction_length.*-3"),
        ({"windows_per_block": 0}, "windows_per_block"),
        ({"sampling_rate": float("inf")}, "sampling_rate.*inf"),
        ({"sampling_rate": 0.0}, "sampling_rate.*0.0"),
        ({"noise_std": -0.1}, "noise_std.*-0.1"),
        ({"seed": -1}, "seed.*-1"),
        ({"num_workers": True}, "num_workers.*True"),
        ({"motion_options": {"helix": {}}}, "'helix', which has no entry"),
        ({"motion_options": {"helical": [1]}}, r"helical.*\[1\]"),
    ],
)
def test_bad_configurations_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        DatasetConfig(**values)


def test_weights_may_miss_one_by_rounding():
    third = 1.0 / 3.0 - 1e-8
    assert (
        fixed_set(
            replace(SMALL, type_weights={"helical": third, "orbital": third, "robotic": third}), "train", 3
        ).num_sequences
        == 3
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(SMALL, type_weights={"helicla": 1.0}), "unknown motion type 'helicla'.*'helical'"),
        (
            replace(SMALL, motion_options={"orbital": {"excentricity": (0, 0.1)}}),
            "did you mean 'eccentricity'",
        ),
        (
            replace(SMALL, motion_options={"orbital": {"mu": 0.0}}),
            "'orbital': option 'mu' must be a positive",
        ),
        (replace(SMALL, motion_options={"robotic": {"box": [1, -1]}}), r"'box'.*\[1, -1\]"),
    ],
)
def test_bad_motions_are_refused_when_the_dataset_opens(config, message):
    with pytest.raises(ValueError, match=message):
        TrajectoryDataset(config, split="train", batch_size=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "training"}, "'training'; choose one of train, validation, test"),
        ({"batch_size": 0}, "batch_size.*0"),
        ({"start_batch": -1}, "start_batch.*-1"),
        ({"rank": 2, "world_size": 2}, r"rank must lie in 0\.\.1.*2"),
        ({"world_size": 0}, "world_size.*0"),
        ({"seed": -4}, "seed.*-4"),
    ],
)
def test_bad_stream_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrajectoryDataset(SMALL, **{"split": "train", "batch_size": 4, **options})


def test_the_configuration_loads_neither_numpy_nor_torch():
    script = (
        "import sys; import examples.trajectory_3d.dataset_config; "
        "print([name for name in ('numpy', 'torch') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
    assert run.stdout.strip() == "[]"


def test_the_documented_new_motion_type_works(monkeypatch):
    monkeypatch.setattr(registry, "_MOTIONS", dict(registry._MOTIONS))
    page = (Path(__file__).parents[2] / "docs" / "motions.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(snippets) == 1
    scope = {}
    exec(compile(snippets[0], "docs/motions.md", "exec"), scope)
    assert "projectile" in motion_names()
    batch = scope["batch"]
    path = batch.path[batch.type_ids == batch.type_names.index("projectile")].double()
    step = 1.0 / scope["config"].sampling_rate
    acceleration = path.diff(n=2, dim=1) / step**2
    expected = torch.tensor([0.0, 0.0, -9.81], dtype=torch.float64).expand_as(acceleration)
    torch.testing.assert_close(acceleration, expected, rtol=0, atol=0.02)


def test_wrong_shape_from_a_new_type_is_named(monkeypatch):
    monkeypatch.setattr(registry, "_MOTIONS", dict(registry._MOTIONS))

    @register_motion("flat")
    def flat(rng, count, times):
        return np.zeros((count, len(times), 2))

    with pytest.raises(ValueError, match=r"'flat' must return .*\(1, 14, 3\), got \(1, 14, 2\)"):
        TrajectoryDataset(replace(SMALL, type_weights={"flat": 1.0}), split="train", batch_size=4)
