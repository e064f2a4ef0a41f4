"""Options, schedule, precision, optimizer groups, averaging, meter: each against something independent."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from training_helpers import TinyModel, config

from m.training import Ema, TrainingConfig, build_optimizer, choose_precision, learning_rate_factor
from m.training.meter import StepMeter, load_shares
from m.training.optimizer import set_learning_rate
from m.training.step import StepOutcome


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "training.batch_size must be at least 1, got 0"),
        ({"learning_rate": -1.0}, "training.learning_rate must be above 0, got -1.0"),
        ({"learning_rate": math.nan}, "training.learning_rate"),
        ({"ema_decay": 1.0}, r"training.ema_decay must lie in \[0, 1\), got 1.0"),
        ({"beta2": -0.1}, "training.beta2"),
        ({"min_learning_rate_fraction": 1.5}, "training.min_learning_rate_fraction"),
        ({"gradient_clip_norm": -1.0}, "training.gradient_clip_norm"),
        ({"warmup_steps": 21, "max_steps": 20}, "training.warmup_steps .*max_steps=20.*got 21"),
        ({"schedule": "linear"}, "training.schedule must be one of cosine, constant, got 'linear'"),
        ({"precision": "fp16"}, "training.precision"),
        ({"best_mode": "most"}, "training.best_mode"),
        ({"best_metric": ""}, "training.best_metric"),
    ],
)
def test_bad_options_are_refused_with_their_value(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**changes)


def test_options_and_packages_load_without_torch():
    code = (
        "import sys, m.training, m.checkpoint; from m.training.config import TrainingConfig; "
        "TrainingConfig(); m.training.TrainingConfig(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_resolves():
    import m.checkpoint
    import m.training

    for package in (m.training, m.checkpoint):
        for name in package.__all__:
            assert getattr(package, name) is not None


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 100), st.floats(0, 1))
def test_schedule_closed_form(step, warmup, minimum):
    total = 300
    factor = learning_rate_factor(step, max_steps=total, warmup_steps=warmup, min_fraction=minimum)
    done = step + 1
    if done <= warmup:
        expected = done / warmup
    elif done >= total:
        expected = minimum
    else:
        # half-angle form: cos^2(x/2) = (1 + cos x) / 2
        expected = minimum + (1 - minimum) * math.cos(math.pi * (done - warmup) / (total - warmup) / 2) ** 2
    assert factor == pytest.approx(expected, abs=1e-12)
    constant = learning_rate_factor(step, max_steps=total, warmup_steps=warmup, schedule="constant")
    assert constant == (done / warmup if done <= warmup else 1.0)


def test_schedule_peaks_at_the_end_of_warmup_and_ends_at_the_minimum():
    rates = [learning_rate_factor(s, max_steps=100, warmup_steps=10, min_fraction=0.1) for s in range(100)]
    assert rates[9] == 1.0
    assert max(rates) == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert all(a > b for a, b in pairwise(rates[9:]))
    assert learning_rate_factor(0, max_steps=1, warmup_steps=1) == 1.0
    assert TrainingConfig(max_steps=1000).effective_warmup_steps == 50
    assert TrainingConfig(max_steps=100_000).effective_warmup_steps == 1000
    assert TrainingConfig(max_steps=3).effective_warmup_steps == 0


def test_precision_follows_the_hardware(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "avx2": True})
    assert choose_precision("auto", cpu).name == "fp32"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    chosen = choose_precision("auto", cpu)
    assert (chosen.name, "amx_bf16" in chosen.reason) == ("bf16", True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert choose_precision("bf16", cpu).name == "bf16"
    assert choose_precision("fp32", cpu).name == "fp32"
    with pytest.raises(ValueError, match="fp16"):
        choose_precision("fp16", cpu)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_multiplies_in_the_chosen_format(name, dtype):
    with choose_precision(name, torch.device("cpu")).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_optimizer_groups_kinds_and_decay():
    model = TinyModel()
    options = config(router_learning_rate_scale=0.5, expert_learning_rate_scale=2.0, weight_decay=0.1)
    optimizer = build_optimizer(model, model.parameter_kinds(), options)
    groups = {group["name"]: group for group in optimizer.param_groups}
    assert {name: group["param_names"] for name, group in groups.items()} == {
        "router/decay": ["gate"],
        "experts/decay": ["expert_weight"],
        "experts/no_decay": ["expert_bias"],  # a matrix [E, 1], but a bias by name
        "rest/no_decay": ["norm.weight", "norm.bias"],
    }
    assert {name: group["weight_decay"] for name, group in groups.items()} == {
        "router/decay": 0.1,
        "experts/decay": 0.1,
        "experts/no_decay": 0.0,
        "rest/no_decay": 0.0,
    }
    set_learning_rate(optimizer, 0.01)
    assert groups["router/decay"]["lr"] == pytest.approx(0.005)
    assert groups["experts/decay"]["lr"] == pytest.approx(0.02)
    assert groups["rest/no_decay"]["lr"] == pytest.approx(0.01)


def test_norm_with_a_matrix_weight_does_not_decay():
    class GroupedNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(2, 3))

    model = nn.ModuleDict({"inner": GroupedNorm(), "linear": nn.Linear(3, 3)})
    kinds = {name: "rest" for name, _ in model.named_parameters()}
    optimizer = build_optimizer(model, kinds, config())
    groups = {group["name"]: group["param_names"] for group in optimizer.param_groups}
    assert groups == {"rest/decay": ["linear.weight"], "rest/no_decay": ["inner.scale", "linear.bias"]}


def test_optimizer_step_is_adamw_written_out():
    model = nn.Linear(2, 1, bias=False)
    weight = model.weight.detach().double().clone()
    options = config(learning_rate=0.1, weight_decay=0.3, beta1=0.8, beta2=0.9)
    optimizer = build_optimizer(model, {"weight": "rest"}, options)
    mean = square = torch.zeros_like(weight)
    for t in range(1, 4):
        gradient = torch.tensor([[0.5 * t, -1.0]], dtype=torch.float64)
        model.weight.grad = gradient.float()
        optimizer.step()
        mean, square = 0.8 * mean + 0.2 * gradient, 0.9 * square + 0.1 * gradient**2
        weight = weight * (1 - 0.1 * 0.3)
        weight = weight - 0.1 * (mean / (1 - 0.8**t)) / ((square / (1 - 0.9**t)).sqrt() + 1e-8)
    torch.testing.assert_close(model.weight.detach().double(), weight, rtol=1e-5, atol=1e-6)


def test_bad_parameter_kinds_are_named():
    model = nn.Linear(2, 1)
    with pytest.raises(ValueError, match=r"leaves out \['bias'\]"):
        build_optimizer(model, {"weight": "rest"}, config())
    with pytest.raises(ValueError, match="head.*kinds are router, experts, rest"):
        build_optimizer(model, {"weight": "head", "bias": "rest"}, config())  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="no trainable parameter"):
        build_optimizer(model.requires_grad_(False), {}, config())


def test_average_follows_its_recurrence_and_swaps_to_the_bit():
    model = nn.Linear(3, 1)
    ema = Ema(dict(model.named_parameters()), decay=0.9)
    expected = model.weight.detach().double().clone()
    for n in range(1, 120):
        with torch.no_grad():
            model.weight.add_(torch.randn(1, 3))
        ema.update()
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * model.weight.detach().double()
    own = model.weight.detach().clone()
    parameter = model.weight
    with contextlib.suppress(KeyError), ema.applied():  # put back after an error, too
        torch.testing.assert_close(model.weight.detach().double(), expected, rtol=1e-5, atol=1e-5)
        raise KeyError
    assert model.weight is parameter
    assert torch.equal(model.weight, own)
    with pytest.raises(ValueError, match="do not match"):
        ema.load_state_dict(1, {"other": own})


def outcome(mean: float, load: list[list[float]] | None, **metrics: float) -> StepOutcome:
    return StepOutcome(
        loss=torch.tensor(mean),
        metrics={name: torch.tensor(value) for name, value in metrics.items()},
        grad_norm=torch.tensor(2 * mean),
        expert_load=None if load is None else torch.tensor(load),
        sequences=4,
        tokens=40,
    )


def test_meter_means_shares_and_speed():
    meter = StepMeter()
    meter.add(outcome(1.0, [[3.0, 1.0], [2.0, 2.0]], loss=10.0), seconds=0.5)
    meter.add(outcome(2.0, [[1.0, 3.0], [4.0, 0.0]], loss=20.0, rare=7.0), seconds=1.5)
    record = meter.take(step=2, learning_rate=0.1, elapsed=9.0)
    assert (record.loss, record.grad_norm) == (1.5, 3.0)
    assert record.metrics == {"loss": 15.0, "rare": 7.0}  # a model's own "loss" does not hide the loss
    assert record.expert_load == [[0.5, 0.5], [0.75, 0.25]]
    assert record.imbalance == 1.5
    assert (record.sequences_per_second, record.tokens_per_second) == (4.0, 40.0)
    meter.add(outcome(5.0, None), seconds=1.0)
    second = meter.take(step=3, learning_rate=0.1, elapsed=10.0)
    assert (second.loss, second.expert_load, second.imbalance) == (5.0, None, None)


@given(st.lists(st.lists(st.integers(0, 50), min_size=3, max_size=3), min_size=1, max_size=4))
def test_shares_sum_to_one_and_imbalance_is_bounded(counts):
    shares, imbalance = load_shares(torch.tensor(counts, dtype=torch.float32))
    assert shares is not None
    assert imbalance is not None
    for row, share in zip(counts, shares, strict=True):
        assert sum(share) == pytest.approx(1.0 if sum(row) else 0.0, abs=1e-6)
    if any(sum(row) for row in counts):
        assert 1.0 - 1e-5 <= imbalance <= 3.0 + 1e-5
