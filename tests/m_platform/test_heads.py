"""Predictive distributions against scipy, and sampled paths against their stated marginals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft
import scipy.integrate
import scipy.stats
import torch

from m.heads import DistributionHead, HeadConfig, StepDistribution
from m.modes import cosine_modes

KINDS = ("gaussian", "laplace", "student_t")
FAMILIES = {"gaussian": scipy.stats.norm, "laplace": scipy.stats.laplace}


def distribution(kind: str, shape=(4, 3, 2), rho: float = 0.0, seed: int = 0) -> StepDistribution:
    generator = torch.Generator().manual_seed(seed)
    location = torch.randn(shape, generator=generator, dtype=torch.float64)
    scale = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.2
    nu = torch.tensor(4.5, dtype=torch.float64) if kind == "student_t" else None
    return StepDistribution(kind, location, scale, torch.tensor(rho), nu)


def frozen(d: StepDistribution):
    location, scale = d.location.numpy(), d.scale.numpy()
    if d.kind == "student_t":
        return scipy.stats.t(df=4.5, loc=location, scale=scale)
    return FAMILIES[d.kind](loc=location, scale=scale)


@pytest.mark.parametrize("kind", KINDS)
def test_density_quantiles_and_spread_equal_scipy(kind):
    d = distribution(kind)
    y = d.location + torch.randn_like(d.location)
    np.testing.assert_allclose(d.negative_log_likelihood(y), -frozen(d).logpdf(y.numpy()), rtol=1e-10)
    np.testing.assert_allclose(d.standard_deviation(), frozen(d).std(), rtol=1e-10)
    for q in (0.025, 0.1, 0.5, 0.9):
        np.testing.assert_allclose(d.quantile(q), frozen(d).ppf(q), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_sampled_marginals_follow_the_stated_law_whatever_the_correlation(kind, rho):
    single = distribution(kind, shape=(1, 3, 2), rho=rho)
    many = single.at((torch.zeros(4000, dtype=torch.long),))
    paths = many.sample(1.0, torch.Generator().manual_seed(1)).numpy()
    law = frozen(single)
    uniform = law.cdf(paths)
    for step in range(3):
        for channel in range(2):
            assert scipy.stats.kstest(uniform[:, step, channel], "uniform").pvalue > 1e-4
    normal = scipy.stats.norm.ppf(uniform[:, :, 0].clip(1e-9, 1 - 1e-9))
    assert np.corrcoef(normal[:, 0], normal[:, 1])[0, 1] == pytest.approx(rho, abs=0.05)
    assert np.corrcoef(normal[:, 0], normal[:, 2])[0, 1] == pytest.approx(rho**2, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_temperature_scales_deviations_from_the_centre(kind):
    d = distribution(kind, rho=0.5)

    def deviation(temperature):
        return d.sample(temperature, torch.Generator().manual_seed(3)) - d.location

    assert torch.equal(deviation(0.0), torch.zeros_like(d.location))
    torch.testing.assert_close(deviation(0.5), 0.5 * deviation(1.0))


def test_the_head_starts_wide_and_centred_on_the_reference():
    head = DistributionHead(16, 3, HeadConfig(prediction_steps=5))
    head.reset_parameters(0.0)
    reference = torch.randn(2, 7, 3)
    d = head(torch.randn(2, 7, 16), reference)
    assert d.location.shape == (2, 7, 5, 3)
    torch.testing.assert_close(d.location, reference.unsqueeze(2).expand(2, 7, 5, 3))
    torch.testing.assert_close(d.scale, torch.full_like(d.scale, 0.3 + 1e-4), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.95])
def test_step_correlation_is_recovered_from_residuals_with_outliers(rho):
    head = DistributionHead(8, 2, HeadConfig(prediction_steps=6))
    source = StepDistribution("gaussian", torch.zeros(512, 6, 2), torch.ones(512, 6, 2), torch.tensor(rho))
    generator = torch.Generator().manual_seed(0)
    for _ in range(600):
        residual = source.sample(1.0, generator)
        residual[:5] *= 1e4
        head.observe(residual, source)
    assert float(head.step_correlation) == pytest.approx(rho, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_spread_corrects_scales_that_are_stated_wrong_outside_of_training_only(kind):
    """The truth is half, once and twice as wide as stated at the three steps."""
    head = DistributionHead(8, 2, HeadConfig(prediction_steps=3, distribution=kind))
    head.reset_parameters(0.02)
    truth = distribution(kind, shape=(256, 3, 2))
    wrong = torch.tensor([0.5, 1.0, 2.0])[:, None]
    stated = replace(truth, scale=truth.scale / wrong)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2000):
        head.observe(truth.sample(1.0, generator), stated)
    torch.testing.assert_close(head.spread, wrong[:, 0], rtol=0.05, atol=0)
    hidden = torch.randn(4, 8)
    trained, used = head.train()(hidden, None), head.eval()(hidden, None)
    torch.testing.assert_close(used.scale, trained.scale * head.spread[:, None])
    torch.testing.assert_close(used.location, trained.location)


@pytest.mark.parametrize("kind", KINDS)
def test_every_density_integrates_to_one(kind):
    d = distribution(kind, shape=(1, 1, 1))

    def density(y):
        return float(torch.exp(-d.negative_log_likelihood(torch.full((1, 1, 1), y, dtype=torch.float64))))

    total, _ = scipy.integrate.quad(density, -np.inf, np.inf, limit=400)
    assert total == pytest.approx(1.0, abs=1e-6)


def test_quantile_levels_outside_the_open_interval_are_refused():
    with pytest.raises(ValueError, match="strictly between 0 and 1, got 1"):
        distribution("gaussian").quantile(1)


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_modes_are_scipys_cosine_transform_and_lose_nothing(decay):
    modes = cosine_modes(12, -decay).double().numpy()
    weights = (1 + np.arange(12)) ** -decay
    path = np.random.default_rng(0).normal(size=12)
    # scipy's DCT-II is twice the sum over the unscaled modes.
    np.testing.assert_allclose(2 * (modes / weights).T @ path, scipy.fft.dct(path, type=2), atol=1e-5)
    coefficients = np.linalg.solve(modes, path)
    np.testing.assert_allclose(modes @ coefficients, path, atol=1e-9)


def test_equal_coefficients_make_smooth_forecasts():
    rough = {}
    for decay in (0.0, 1.0):
        torch.manual_seed(0)
        head = DistributionHead(16, 3, HeadConfig(prediction_steps=32, mode_decay=decay))
        head.reset_parameters(0.02)
        path = head(torch.randn(64, 16), None).location.detach()
        rough[decay] = (path.diff(dim=1).diff(dim=1).norm() / path.norm()).item()
    assert rough[1.0] < 0.4 * rough[0.0]
