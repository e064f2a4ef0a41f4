"""Numbers that follow from a configuration alone: parameters, FLOPs, cache size."""

from __future__ import annotations

from dataclasses import dataclass

from m.experts.activation import is_gated
from m.moe.config import ModelConfig
from m.routing.registry import router_class


@dataclass(frozen=True)
class ModelSize:
    """Derived numbers of a model.

    Attributes:
        total_parameters: all learned parameters.
        active_parameters: those that one token uses (K of E experts).
        kv_values_per_token: numbers kept in the key-value cache for each point.
        matmul_flops_per_token: floating-point operations (2 per multiply-add) of the matrix products
            of one token's forward pass, attention scores left out.
        attention_flops_per_pair: operations per query-key pair, over all attending blocks.
        stride: points between the tokens of a forecast.
    """

    total_parameters: int
    active_parameters: int
    kv_values_per_token: int
    matmul_flops_per_token: int
    attention_flops_per_pair: int
    stride: int = 1

    def forward_flops(self, length: int) -> int:
        """Operations of a forecast from ``length`` points, masked pairs counted too."""
        tokens = -(-length // self.stride)
        return self.matmul_flops_per_token * tokens + self.attention_flops_per_pair * tokens * tokens

    def kv_bytes_per_token(self, bytes_per_value: int = 4) -> int:
        """Cache bytes per point."""
        return self.kv_values_per_token * bytes_per_value


def model_size(config: ModelConfig) -> ModelSize:
    """Derive the numbers of a configuration without building the model."""
    router, experts = config.router, config.experts
    matrices = 3 if is_gated(experts.activation) else 2
    one_expert = matrices * config.dim * experts.hidden_dim
    shared = matrices * config.dim * experts.shared_hidden_dim
    routing = 0 if router.is_dense else router_class(router.kind).parameter_count(config.dim, router)
    attention = config.dim * config.head_dim * (config.attention.n_heads + config.attention.projected_heads)
    embedding = (config.window * config.input_dim + 1) * config.dim
    head_outputs = config.head.prediction_steps * config.target_dim * 2
    head = config.dim * head_outputs
    modes = config.head.prediction_steps**2 * config.target_dim  # multiplied, not learned
    modes += config.window * (config.window - 1) * config.input_dim
    around = embedding + config.dim + config.dim + head + head_outputs
    around += config.attending_blocks * (attention + config.dim)  # with its norm
    around += 1 if config.head.distribution == "student_t" else 0
    active = config.feed_forwards * (shared + router.top_k * one_expert) + config.n_layers * routing
    idle = 0 if router.is_dense else router.n_experts - router.top_k
    unused = config.n_layers * idle * one_expert
    around += config.feed_forwards * config.dim  # their norms
    multiplied = config.attending_blocks * attention + active
    return ModelSize(
        total_parameters=around + active + unused,
        active_parameters=around + active,
        kv_values_per_token=config.attending_blocks * 2 * config.attention.kv_heads * config.head_dim,
        matmul_flops_per_token=2 * (embedding + head + modes + multiplied),
        attention_flops_per_pair=config.attending_blocks
        * 4
        * config.attention.scored_heads
        * config.head_dim,
        stride=config.stride,
    )
