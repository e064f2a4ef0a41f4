"""The points that a forecast is made from: grown and trimmed as by hand, and no others matter."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import small_config, small_model

from m.moe.config import AnchorConfig, AttentionConfig
from m.moe.request import LEAST_POINTS
from m.moe.seen import seen_points
from m.moe.window import Window


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    most=st.lists(st.sampled_from([1, 5, 9, 1000]), min_size=4, max_size=4),
    blocks=st.integers(0, 4),
)
def test_windows_grow_as_lists_do(lengths, most, blocks):
    rng = torch.Generator().manual_seed(0)
    paths = [torch.randn(n, 2, generator=rng, dtype=torch.float64) for n in lengths]
    points = torch.full((len(paths), max(lengths), 2), torch.nan, dtype=torch.float64)
    for row, path in zip(points, paths, strict=True):
        row[: len(path)] = path
    window = Window(points, torch.tensor(lengths), torch.tensor(most[: len(lengths)]))
    window = window.take(torch.arange(len(lengths)))
    for _ in range(blocks):
        block = torch.randn(len(paths), 3, 2, generator=rng, dtype=torch.float64)
        window = window.append(block)
        paths = [torch.cat((path, new)) for path, new in zip(paths, block, strict=True)]
    kept = [path[-limit:] for path, limit in zip(paths, most, strict=False)]
    assert window.lengths.tolist() == [len(path) for path in kept]
    assert window.points.shape[1] == max(len(path) for path in kept)
    for row, path in zip(window.points, kept, strict=True):
        assert torch.equal(row[: len(path)], path)
    again = Window.joined([window.take(torch.tensor([n])) for n in range(len(paths))])
    assert torch.equal(again.lengths, window.lengths)
    assert again.points.shape[1] == window.points.shape[1]


BOUNDED = {
    "window": 6,
    "stride": 3,
    "attention": AttentionConfig(n_heads=4, reach=2),
    "anchor": AnchorConfig(span=5),
}


def test_no_point_before_those_seen_matters_and_the_first_of_them_does():
    model = small_model(**BOUNDED)
    seen = seen_points(model.config)
    assert seen == 6 + 2 * 1 * 3
    rng = np.random.default_rng(0)
    path = rng.standard_normal((30, 3)).cumsum(0)
    alone = model.forecast(path[-seen:], 11).mean
    other = path.copy()
    other[:-seen] += rng.standard_normal((30 - seen, 3))
    for same in (path, other):
        np.testing.assert_allclose(model.forecast(same, 11).mean, alone, rtol=0, atol=1e-5)
    other[-seen] += 1.0
    assert np.abs(model.forecast(other, 11).mean - alone).max() > 1e-4


@pytest.mark.parametrize(
    "changes", [{"anchor": AnchorConfig(span=0)}, {"attention": AttentionConfig(n_heads=4, reach=None)}]
)
def test_where_nothing_bounds_them_all_points_count(changes):
    assert seen_points(small_config(**(BOUNDED | changes))) is None


def test_a_window_keeps_what_its_context_had_but_not_less_than_its_share():
    config = small_config()
    window = Window.of(torch.zeros(2, 100, 3), torch.tensor([100, 10]), config)
    for _ in range(50):
        window = window.append(torch.ones(2, 4, 3))
    assert window.lengths.tolist() == [100, LEAST_POINTS]
