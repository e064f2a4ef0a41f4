"""Counts of groups against experts, against scipy and against cases with a known answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, entropy

from examples.trajectory_3d.experts.contingency import Contingency, contingency


@given(st.integers(2, 5), st.integers(2, 6), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_information_and_p_value_are_those_of_scipys_g_test(rows, columns, seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 40, (rows, columns))
    table = Contingency(tuple("abcde"[:rows]), counts)
    test = chi2_contingency(counts, correction=False, lambda_="log-likelihood")
    assert table.information == pytest.approx(test.statistic / (2 * counts.sum() * np.log(2)), abs=1e-12)
    assert table.p_value == pytest.approx(test.pvalue, rel=1e-9)
    assert table.group_entropy == pytest.approx(entropy(counts.sum(axis=1), base=2))


def test_an_expert_for_every_group_explains_all():
    table = Contingency(("a", "b", "c"), np.diag([30, 30, 30]))
    assert table.explained == pytest.approx(1.0)
    np.testing.assert_allclose(table.lift, 3.0 * np.eye(3))
    np.testing.assert_allclose(table.shares, np.eye(3))
    assert table.p_value < 1e-10


def test_experts_chosen_whatever_the_group_carry_the_information_of_chance():
    rng = np.random.default_rng(0)
    tables = [
        contingency(rng.integers(0, 4, 500), rng.integers(0, 6, (500, 1)), "abcd", 6) for _ in range(200)
    ]
    information = np.array([table.information for table in tables])
    assert information.mean() == pytest.approx(tables[0].chance, rel=0.1)
    assert np.mean([table.p_value < 0.05 for table in tables]) == pytest.approx(0.05, abs=0.05)


def test_empty_groups_and_unused_experts_are_told_apart_from_zero():
    table = Contingency(("a", "b"), np.array([[3, 0, 1], [0, 0, 0]]))
    assert np.isnan(table.shares[1]).all()
    assert np.isnan(table.lift[:, 1]).all()
    assert table.lift[0, 0] == pytest.approx(1.0)
    assert table.information == 0.0
    assert table.explained == 0.0
    assert table.p_value == 1.0
    assert table.chance == 0.0
    nothing = Contingency(("a",), np.zeros((1, 3), dtype=np.int64))
    assert (nothing.information, nothing.chance, nothing.p_value) == (0.0, 0.0, 1.0)


def test_each_choice_of_a_token_counts_and_unknown_tokens_do_not():
    labels = np.array([0, 1, -1, 0])
    experts = np.array([[0, 2], [1, 2], [0, 1], [2, 0]])
    table = contingency(labels, experts, ["a", "b"], 3)
    np.testing.assert_array_equal(table.counts, [[2, 0, 2], [0, 1, 1]])
    single = contingency(labels, experts[:, :1], ["a", "b"], 3)
    np.testing.assert_array_equal(single.counts, [[1, 0, 1], [0, 1, 0]])
    # The choices of one token are not independent: with two each, half the observations are counted.
    assert table.chance == pytest.approx(2 / (2 * 3 * np.log(2)))
