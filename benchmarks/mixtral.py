"""Hugging Face's Mixtral in the sizes of this package's models, as a peer. Wants the group ``bench``."""

from __future__ import annotations

from torch import nn

from m.experts import Experts
from m.moe import ModelConfig

STACKS = ("eager", "grouped_mm")  # implementations of the experts that train and run on processors
IMPLEMENTATIONS = ("batched_mm", *STACKS)


def mixtral_stack(config: ModelConfig, implementation: str) -> nn.Module:
    """A ``MixtralModel`` as deep and wide, with as many heads and experts."""
    from transformers import MixtralConfig, MixtralModel  # noqa: PLC0415  (of the group bench)

    stack = MixtralModel(
        MixtralConfig(
            vocab_size=8,  # of which nothing is used
            hidden_size=config.dim,
            intermediate_size=config.experts.hidden_dim,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.attention.n_heads,
            num_key_value_heads=config.attention.kv_heads,
            num_local_experts=config.router.n_experts,
            num_experts_per_tok=config.router.top_k,
        )
    )
    stack.set_experts_implementation(implementation)
    found: nn.Module = stack
    return found


def mixtral_experts(ours: Experts, top_k: int, implementation: str) -> nn.Module:
    """The experts of a Mixtral layer with this package's weights."""
    from transformers import MixtralConfig  # noqa: PLC0415  (of the group bench)
    from transformers.models.mixtral.modeling_mixtral import MixtralExperts  # noqa: PLC0415

    config = MixtralConfig(
        hidden_size=ours.w_in.shape[1],
        intermediate_size=ours.config.hidden_dim,
        num_local_experts=ours.n_experts,
        num_experts_per_tok=top_k,
    )
    config._experts_implementation = implementation
    experts: nn.Module = MixtralExperts(config)
    experts.gate_up_proj = nn.Parameter(ours.w_in.detach().transpose(1, 2).contiguous())
    experts.down_proj = nn.Parameter(ours.w_out.detach().transpose(1, 2).contiguous())
    return experts
