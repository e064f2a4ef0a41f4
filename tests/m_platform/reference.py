"""Deliberately slow references, and small models, for the platform's tests."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from m.experts import Experts
from m.moe import ModelConfig, MoESequenceRegressor
from m.moe.config import AnchorConfig, AttentionConfig, ExpertsConfig, HeadConfig, RouterConfig

CAUSAL_ROUTERS = ("topk", "topk_bias", "sinkhorn", "dense")


# What generation must do alike for: tokens of a point each or strides apart, anchors held or taken anew.
MODELS = {
    "points": {"anchor": AnchorConfig(rolling="held")},
    "fresh": {},
    "strided": {
        "window": 8,
        "stride": 8,
        "attention": AttentionConfig(n_heads=4, reach=2),
        "anchor": AnchorConfig(rolling="held"),
    },
    "turned": {
        "window": 8,
        "stride": 6,
        "anchor": AnchorConfig(orientation="motion", mirror=True, span=12),
        "head": HeadConfig(prediction_steps=4, distribution="student_t"),
    },
}


def small_config(router: str | RouterConfig = "topk", **changes) -> ModelConfig:
    if isinstance(router, str):
        router = RouterConfig(kind=router, n_experts=4, top_k=2)
    settings = {
        "input_dim": 3,
        "target_dim": 3,
        "dim": 32,
        "n_layers": 2,
        "window": 4,
        "attention": AttentionConfig(n_heads=4, n_kv_heads=2),
        "router": router,
        "experts": ExpertsConfig(hidden_dim=16),
        "head": HeadConfig(prediction_steps=4),
        "anchor": AnchorConfig(),
    }
    return ModelConfig(**(settings | changes))


def small_model(
    router: str | RouterConfig = "topk", seed: int = 0, dtype=torch.float32, **changes
) -> MoESequenceRegressor:
    """A model whose outputs depend on everything: default weights would leave the head nearly silent."""
    torch.manual_seed(seed)
    model = MoESequenceRegressor(small_config(router, **changes)).to(dtype).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "router" in name or name.startswith("head.projection.weight"):
                parameter.normal_(std=0.5)
    return model


def activate(hidden: Tensor, name: str) -> Tensor:
    plain = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu}
    gated = {"geglu": F.gelu, "reglu": F.relu, "swiglu": F.silu}
    if name in plain:
        return plain[name](hidden)
    half = hidden.shape[-1] // 2
    return gated[name](hidden[..., :half]) * hidden[..., half:]


def naive_experts(
    tokens: Tensor, w_in: Tensor, w_out: Tensor, experts: Tensor, weights: Tensor, activation: str
) -> Tensor:
    """Token by token, expert by expert, with indexing: slow and plainly right."""
    rows = []
    for token, chosen, gates in zip(tokens, experts, weights, strict=True):
        row = torch.zeros_like(token)
        for expert, gate in zip(chosen.tolist(), gates, strict=True):
            row = row + gate * (activate(token @ w_in[expert], activation) @ w_out[expert])
        rows.append(row)
    return torch.stack(rows)


def assert_equals_naive_loop(experts: Experts, tokens: Tensor, chosen: Tensor, weights: Tensor) -> None:
    """Outputs and gradients of experts in float64 are those of `naive_experts`."""
    inputs = (tokens, weights, experts.w_in, experts.w_out)
    actual = experts(tokens, chosen, weights)
    expected = naive_experts(tokens, experts.w_in, experts.w_out, chosen, weights, experts.config.activation)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(actual)
    got = torch.autograd.grad((actual * direction).sum(), inputs)
    want = torch.autograd.grad((expected * direction).sum(), inputs)
    for mine, naive in zip(got, want, strict=True):
        torch.testing.assert_close(mine, naive, rtol=1e-11, atol=1e-11)
