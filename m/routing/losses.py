"""Auxiliary losses of routers."""

from __future__ import annotations

import torch
from torch import Tensor

from m.batch_part import WHOLE, BatchPart


def load_balance_loss(
    probabilities: Tensor, experts: Tensor, valid: Tensor, part: BatchPart = WHOLE
) -> Tensor:
    """Load-balance loss: ``E * sum_e f_e P_e`` (Switch Transformer, arXiv 2101.03961, eq. 4-6).

    ``f_e`` is the share of assignments expert e got, ``P_e`` its mean probability. Uniform routing
    gives 1, everything on one expert gives up to E. Gradients flow through ``P`` only.

    Args:
        probabilities: ``[N, E]``, rows sum to 1.
        experts: chosen experts, ``[N, K]``.
        valid: ``[N]`` bool.
        part: what the tokens are of the batch; shares ``f_e`` are those of the whole.
    """
    n_experts = probabilities.shape[-1]
    keep = valid.to(probabilities.dtype)[:, None]  # [N, 1]
    count = part.mean_of_parts(keep.sum()).clamp_min(1.0)
    load = torch.zeros(n_experts, dtype=probabilities.dtype, device=probabilities.device)
    load.scatter_add_(0, experts.reshape(-1), keep.expand_as(experts).reshape(-1))
    share = part.mean_of_parts(load) / (count * experts.shape[-1])
    importance = (probabilities * keep).sum(0) / count
    return n_experts * (share * importance).sum()


def z_loss(logits: Tensor, valid: Tensor, part: BatchPart = WHOLE) -> Tensor:
    """Router z loss: mean squared log-sum-exp of the logits (ST-MoE, arXiv 2202.08906, eq. 5).

    Args:
        logits: ``[N, E]``.
        valid: ``[N]`` bool.
        part: what the tokens are of the batch.
    """
    keep = valid.to(logits.dtype)
    return (logits.logsumexp(-1).square() * keep).sum() / part.mean_of_parts(keep.sum()).clamp_min(1.0)
