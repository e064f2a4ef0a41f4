"""The rules by which windows are found, shared out and put in order: numbers alone, no files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.recorded.cutting import evenly, window_starts
from examples.trajectory_3d.recorded.parts import PARTS, cut_moments, point_ranges, share_out
from examples.trajectory_3d.recorded.permutation import permuted

OBSERVED, HORIZON = 6, 3
LENGTH = OBSERVED + HORIZON


# ---- random orders ----


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**32), epoch=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_a_random_order_has_each_thing_once(size, seed, epoch):
    order = permuted(np.arange(size), size, seed, (0, epoch))
    assert sorted(order.tolist()) == list(range(size))
    some = np.arange(0, size, 7)
    assert (permuted(some, size, seed, (0, epoch)) == order[some]).all()


def test_orders_of_epochs_look_random():
    size, epochs = 1000, 200
    orders = np.array([permuted(np.arange(size), size, 1, (0, epoch)) for epoch in range(epochs)])
    fixed = (orders == np.arange(size)).sum(axis=1)
    assert fixed.mean() == pytest.approx(1.0, abs=0.3)  # of a random order one thing stays in its place
    assert abs(np.corrcoef(orders[0], orders[1])[0, 1]) < 0.12
    first = orders[:, 0]  # where one place leads, over the epochs: uniform
    assert len(np.unique(first)) > 150
    neighbours = np.abs(np.diff(orders, axis=1)).mean()
    assert neighbours == pytest.approx(size / 3, rel=0.03)


# ---- parts ----


@given(
    start=st.floats(-50, 50),
    count=st.integers(1, 300),
    cuts=st.tuples(st.floats(-60, 200), st.floats(0, 100)),
    embargo=st.integers(0, 20),
)
@settings(max_examples=100, deadline=None)
def test_parts_of_a_piece_lie_where_their_times_do(start, count, cuts, embargo):
    step, moments = 0.5, (cuts[0], cuts[0] + cuts[1])
    found = point_ranges(start, step, count, moments, embargo)
    times = start + step * np.arange(count)
    part_of = np.digitize(times, moments)  # 0, 1 or 2
    covered = np.full(count, -1)
    for part, (first, end) in found.items():
        number = PARTS.index(part)
        covered[first:end] = number
        sure = (
            np.abs(times[first:end, None] - moments).min(axis=1) > 1e-6
        )  # a cut on a point may fall either way
        assert (part_of[first:end][sure] == number).all()
    for i in np.flatnonzero(covered < 0):  # what belongs to no part lies within the embargo after a moment
        assert min(times[i] - moment for moment in moments if times[i] > moment - 1e-6) <= step * (
            embargo + 1
        )


def test_moments_give_the_shares_asked_for():
    times = np.random.default_rng(0).uniform(0, 10, 1000)
    first, second = cut_moments(times, np.ones(1000), (0.7, 0.2, 0.1))
    assert ((times < first).mean(), (times >= second).mean()) == pytest.approx((0.7, 0.1))
    assert cut_moments(times, np.ones(1000), (0.0, 0.0, 1.0)) == (-np.inf, -np.inf)
    assert cut_moments(times, np.ones(1000), (1.0, 0.0, 0.0)) == (np.inf, np.inf)


@given(counts=st.lists(st.integers(1, 50), min_size=3, max_size=40), seed=st.integers(0, 99))
def test_tracks_are_shared_out_so_that_every_part_has_some(counts, seed):
    tracks = list(enumerate(counts))
    parts = share_out(tracks, (0.8, 0.1, 0.1), seed)
    assert set(parts) == set(PARTS)
    assert parts == share_out(tracks, (0.8, 0.1, 0.1), seed)
    assert set(share_out(tracks, (0.5, 0.0, 0.5), seed)) == {"train", "test"}


# ---- windows ----


def test_windows_are_all_stretches_that_move():
    points = np.cumsum(np.random.default_rng(0).normal(size=(60, 3)), axis=0)
    points[20:40] = points[20]
    options = {"length": LENGTH, "observed": OBSERVED, "stride": 2}
    found = window_starts(points, 3, 58, rest=0.0, **options)
    expected = [s for s in range(3, 58 - LENGTH + 1, 2) if np.ptp(points[s : s + OBSERVED], axis=0).max() > 0]
    assert found.tolist() == expected
    spread = [np.sqrt(points[s : s + OBSERVED].var(axis=0).mean()) for s in expected]
    rest = float(np.sort(spread)[7:9].mean())  # between two of them, so that roundings do not matter
    kept = [s for s, size in zip(expected, spread, strict=True) if size > rest]
    assert window_starts(points, 3, 58, rest=rest, **options).tolist() == kept


@given(available=st.lists(st.integers(0, 30), min_size=1, max_size=8), most=st.integers(1, 100))
def test_groups_give_equal_shares_as_far_as_they_can(available, most):
    given_ = evenly(np.array(available), most)
    assert given_.sum() == min(most, sum(available))
    assert (given_ <= available).all()
    short = [g for g, a in zip(given_, available, strict=True) if g < a]
    assert not short or max(given_) - min(short) <= 1
