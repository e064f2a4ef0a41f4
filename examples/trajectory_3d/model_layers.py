"""A model's parts and their parameters, from its configuration and without torch.

`m.moe.derived.model_size` counts the same; the router classes it asks need torch. Here all built-in routers
count as they do, one matrix each; of a router of another kind nothing is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from m.config import ConfigError, from_dict, known_keys
from m.moe.config import ModelConfig

_COUNTED_ROUTERS = frozenset({"topk", "topk_bias", "sinkhorn"})
_GATED = frozenset({"geglu", "reglu", "swiglu"})


@dataclass(frozen=True)
class Part:
    """A part of a model.

    Attributes:
        place: ``layer 1``, or ``embedding`` and the like.
        name: what it is.
        detail: its settings in words.
        parameters: learned numbers, its norm included.
        active: those of them that one token uses.
    """

    place: str
    name: str
    detail: str
    parameters: int
    active: int


def model_parts(content: Mapping[str, Any]) -> list[Part]:
    """All parts of a model, from its input to its head; empty when the configuration is not understood."""
    config = _config(content)
    if config is None or not (config.router.is_dense or config.router.kind in _COUNTED_ROUTERS):
        return []
    around = (config.window * config.input_dim + 1) * config.dim
    parts = [_all("embedding", "linear", f"{config.window} points of {config.input_dim} channels", around)]
    for index in range(config.n_layers):
        parts += _layer(config, index)
    outputs = config.head.prediction_steps * config.target_dim * 2
    detail = f"{config.head.prediction_steps} steps, {config.head.distribution}"
    count = config.dim * outputs + outputs + 2 * config.dim + (config.head.distribution == "student_t")
    return [*parts, _all("head", "norms and linear", detail, count)]


def parameter_totals(content: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """All learned parameters, and those that one token uses; None when they cannot be told."""
    parts = model_parts(content)
    if not parts:
        return None, None
    return sum(part.parameters for part in parts), sum(part.active for part in parts)


def _config(content: Mapping[str, Any]) -> ModelConfig | None:
    known = {key.partition(".")[0] for key, _ in known_keys(ModelConfig)}
    try:
        return from_dict(ModelConfig, {key: value for key, value in content.items() if key in known})
    except (ConfigError, ValueError, TypeError, RecursionError, OverflowError):
        return None


def _layer(config: ModelConfig, index: int) -> list[Part]:
    place, dim, router, experts = f"layer {index + 1}", config.dim, config.router, config.experts
    one = (3 if experts.activation in _GATED else 2) * dim
    parts = []
    if config.attends(index):
        heads = config.attention
        reach = "all" if heads.reach is None else str(heads.reach)
        detail = f"{heads.n_heads} heads of {config.head_dim}, {heads.kv_heads} for keys, reach {reach}"
        count = dim * config.head_dim * (heads.n_heads + heads.projected_heads) + dim
        parts.append(_all(place, "attention", detail, count))
    width = router.top_k * experts.hidden_dim
    if config.dense_feed_forward or router.is_dense:
        wide = width + experts.shared_hidden_dim
        count = one * wide + dim
        copies = int(config.dense_feed_forward) + int(router.is_dense)
        parts += [_all(place, "feed-forward", f"width {wide}, {experts.activation}", count)] * copies
    if router.is_dense:
        return parts
    parts.append(
        _all(
            place,
            "router",
            f"{router.kind}, top {router.top_k} of {router.n_experts}",
            dim * router.n_experts,
        )
    )
    detail = f"{router.n_experts} of width {experts.hidden_dim}, {experts.activation}"
    expert = one * experts.hidden_dim
    parts.append(Part(place, "experts", detail, router.n_experts * expert + dim, router.top_k * expert + dim))
    if experts.shared_hidden_dim:
        shared = experts.shared_hidden_dim
        parts.append(_all(place, "shared expert", f"width {shared}", one * shared))
    return parts


def _all(place: str, name: str, detail: str, count: int) -> Part:
    """A part of which every token uses everything."""
    return Part(place, name, detail, count, count)
