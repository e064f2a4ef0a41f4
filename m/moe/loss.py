"""The training loss: every position predicts the next P points; anchors are drawn as serving draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from m.moe.anchor import compute_anchor
from m.moe.batch import LossOutput, SequenceBatch

if TYPE_CHECKING:
    from m.moe.model import MoESequenceRegressor


def sequence_loss(model: MoESequenceRegressor, batch: SequenceBatch) -> LossOutput:
    """Mean negative log-likelihood (nats per coordinate, anchored units) plus auxiliary losses.

    In training each sequence is anchored on a random prefix, or on its whole context (see
    `AnchorConfig`), and every position is a target. In evaluation mode all anchor on their whole
    context and only the forecast from the last point counts, as in a real forecast.

    Args:
        model: whose loss.
        batch: ``inputs [B, T, D]`` and ``path [B, T + P, K]``.

    Raises:
        ValueError: the path is not P points longer than the inputs.
    """
    steps = model.config.head.prediction_steps
    size, length, _ = batch.inputs.shape
    if batch.path.shape[1] != length + steps:
        raise ValueError(
            f"path must be {steps} points (head.prediction_steps) longer than the {length} inputs, "
            f"got {batch.path.shape[1]} points"
        )
    prefix = _anchor_lengths(model, size, length, batch.inputs.device)
    anchor = compute_anchor(batch.inputs, prefix, model.config.anchor)
    output = model(batch.inputs, anchor=anchor)
    path = anchor.for_targets(batch.path.shape[-1]).normalise(batch.path).to(output.distribution.location)
    targets = path[:, 1:].unfold(1, steps, 1).transpose(-1, -2)  # [B, T, P, K]
    nll = output.distribution.negative_log_likelihood(targets)
    if model.training:
        model.head.observe_residuals((targets - output.distribution.location)[:, -1])
        prediction_loss = nll.mean()
    else:
        prediction_loss = nll[:, -1].mean()
    auxiliary = output.routing.auxiliary_loss()
    metrics = {
        "nll": prediction_loss.detach(),
        "final_nll": nll[:, -1].detach().mean(),
        **output.routing.loss_terms(),
    }
    if output.routing.layers:
        entropies = torch.stack([layer.entropy for layer in output.routing.layers])
        metrics["routing_entropy"] = entropies.mean()
    return LossOutput(
        loss=prediction_loss if auxiliary is None else prediction_loss + auxiliary,
        forecast=output.in_units().location[:, -1].detach(),
        target=batch.path[:, -steps:],
        metrics=metrics,
        expert_load=output.routing.load(),
    )


def _anchor_lengths(model: MoESequenceRegressor, size: int, length: int, device: torch.device) -> Tensor:
    """Points each sequence is anchored on, ``[B]``."""
    whole = torch.full((size,), length, dtype=torch.int64, device=device)
    if not model.training:
        return whole
    config = model.config.anchor
    prefix = torch.randint(min(config.min_points, length), length + 1, (size,), device=device)
    return torch.where(torch.rand(size, device=device) < config.whole_context_share, whole, prefix)
