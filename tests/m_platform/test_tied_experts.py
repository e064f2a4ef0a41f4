"""Experts that begin as one: equal to a mixture of equal experts, tied for as long as said, resumable."""

from __future__ import annotations

import pytest
import torch
from reference import naive_experts
from test_training_moe import stream
from training_helpers import StopAt, assert_same, config, state_of

from m.checkpoint import load_model
from m.config import from_dict, to_dict
from m.experts import Experts, ExpertsConfig
from m.moe import ModelConfig, MoESequenceRegressor
from m.training import Trainer


def make_experts(tied_steps: int) -> Experts:
    torch.manual_seed(0)
    experts = Experts(8, 4, ExpertsConfig(hidden_dim=16, tied_steps=tied_steps))
    experts.reset_parameters(0.5)
    return experts.double()


@pytest.mark.parametrize("top_k", [1, 3])
def test_tied_experts_give_what_equal_experts_give_and_share_the_gradient(top_k):
    experts = make_experts(5)
    tokens = torch.randn(30, 8, dtype=torch.float64, requires_grad=True)
    scores = torch.rand(30, 4, dtype=torch.float64)
    chosen = scores.topk(top_k, dim=-1).indices
    weights = scores.gather(1, chosen).requires_grad_()
    parameters = (tokens, weights, experts.w_in, experts.w_out)

    tied = experts(tokens, chosen, weights)
    expected = naive_experts(tokens, experts.w_in, experts.w_out, chosen, weights, "swiglu")
    torch.testing.assert_close(tied, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(experts.eval()(tokens, chosen, weights), expected, rtol=1e-12, atol=1e-12)

    direction = torch.randn_like(tied)
    got = torch.autograd.grad((tied * direction).sum(), parameters)
    want = torch.autograd.grad((expected * direction).sum(), parameters)
    for mine, naive in zip(got[:2], want[:2], strict=True):
        torch.testing.assert_close(mine, naive, rtol=1e-11, atol=1e-11)
    for mine, naive in zip(got[2:], want[2:], strict=True):
        torch.testing.assert_close(mine.sum(0), naive.sum(0), rtol=1e-11, atol=1e-11)
        assert torch.equal(mine, mine[:1].expand_as(mine))


def test_equal_experts_start_as_wide_as_others():
    drawn = [make_experts(steps) for steps in (0, 3)]
    for plain, tied in zip(drawn[0].parameters(), drawn[1].parameters(), strict=True):
        assert tied[0].std().item() == pytest.approx(plain.std().item(), rel=0.2)
        assert torch.equal(tied, tied[:1].expand_as(tied))
        assert not torch.equal(plain[0], plain[1])


def test_negative_steps_are_refused():
    with pytest.raises(ValueError, match=r"experts\.tied_steps"):
        ExpertsConfig(tied_steps=-1)


def run(folder, *, optimizer: str, tied: int, steps: int, resume: bool = False, stop: int | None = None):
    chosen = from_dict(
        ModelConfig,
        {
            "dim": 32,
            "n_layers": 2,
            "attention": {"n_heads": 4},
            "router": {"kind": "topk_bias", "n_experts": 4, "top_k": 1, "score": "sigmoid"},
            "experts": {"hidden_dim": 16, "tied_steps": tied},
            "head": {"prediction_steps": 4},
        },
    )
    torch.manual_seed(5)
    model = MoESequenceRegressor(chosen)
    options = config(max_steps=steps, log_interval=1, optimizer=optimizer, ema_decay=0.9)
    trainer = Trainer(
        model,
        stream,
        options,
        output_dir=folder,
        callbacks=[StopAt(stop)] if stop else [],
        metadata={"model_config": to_dict(chosen)},
    )
    trainer.fit(resume=resume)
    return load_model(folder / "final_model.pt") if stop is None else model


def spread(model: MoESequenceRegressor) -> float:
    weights = [
        w.detach() for module in model.modules() if isinstance(module, Experts) for w in module.parameters()
    ]
    return max(float((w - w[:1]).abs().max()) for w in weights)


@pytest.mark.parametrize("optimizer", ["adamw", "soap"])
def test_experts_are_one_until_the_last_tied_step_and_differ_after_it(tmp_path, optimizer):
    start = run(tmp_path / "start", optimizer=optimizer, tied=6, steps=1)
    before = run(tmp_path / "before", optimizer=optimizer, tied=6, steps=6)
    after = run(tmp_path / "after", optimizer=optimizer, tied=6, steps=12)
    assert spread(before) == 0.0
    assert spread(after) > 1e-4
    first, sixth = (next(m for m in each.modules() if isinstance(m, Experts)) for each in (start, before))
    assert (first.w_in - sixth.w_in).abs().max() > 1e-4  # they were trained meanwhile


@pytest.mark.parametrize("stop", [2, 6])
def test_resume_keeps_count_of_the_tied_steps(tmp_path, stop):
    options = {"optimizer": "soap", "tied": 4, "steps": 9}
    run(tmp_path / "straight", **options)
    run(tmp_path / "split", **options, stop=stop)
    run(tmp_path / "split", **options, resume=True)
    assert_same(state_of(tmp_path / "split"), state_of(tmp_path / "straight"))
