"""The training loss: every position predicts the next P points; anchors are drawn as serving draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from m.batch_part import WHOLE, BatchPart
from m.moe.anchor import compute_anchor
from m.moe.batch import LossOutput, SequenceBatch

if TYPE_CHECKING:
    from m.moe.model import MoESequenceRegressor


def sequence_loss(model: MoESequenceRegressor, batch: SequenceBatch) -> LossOutput:
    """Mean negative log-likelihood (nats per coordinate, anchored units) plus auxiliary losses.

    In training terms are weighted as ``head.spread_weighting`` says, within each micro-batch (of all
    processes, see `m.batch_part`).

    In training some sequences are shortened (see `ContextConfig`), each is anchored on a random
    prefix, or on its whole context (see `AnchorConfig`), and the last point and those whole strides
    before it are targets. In evaluation mode all anchor on their whole context and only the forecast
    from the last point counts, as in a real forecast.

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
    lengths = torch.full((size,), length, dtype=torch.int64, device=batch.inputs.device)
    truth = batch.path[:, -steps:]
    part = model.part if model.training else WHOLE
    if model.training:
        batch, lengths = _shorten(model, batch, part)
    anchor = compute_anchor(batch.inputs, _anchor_lengths(model, lengths, part), model.config.anchor)
    tokens = model.token_positions(lengths)
    output = model(batch.inputs, anchor=anchor, lengths=lengths, tokens=tokens)
    path = anchor.for_targets(batch.path.shape[-1]).normalise(batch.path).to(output.distribution.location)
    targets = _continuations(path, tokens, steps)  # [B, T', P, K]
    nll = output.distribution.negative_log_likelihood(targets)
    last = (torch.arange(size, device=lengths.device), (lengths - 1) // model.config.stride)
    final = output.distribution.at(last)  # [B, P, K]
    final_nll = nll[last].mean()
    if model.training:
        model.head.observe(targets[last], final)
        shown = (tokens < lengths[:, None])[..., None, None].expand_as(nll)
        mean_nll = part.mean(nll[shown])
        prediction_loss = _weighted_mean(
            nll[shown], output.distribution.scale[shown], model.config.head.spread_weighting, part
        )
    else:
        prediction_loss = mean_nll = final_nll
    auxiliary = output.routing.auxiliary_loss()
    metrics = {
        "nll": mean_nll.detach(),
        "final_nll": final_nll.detach(),
        **output.routing.loss_terms(),
    }
    if output.routing.layers:
        entropies = torch.stack([layer.entropy for layer in output.routing.layers])
        metrics["routing_entropy"] = entropies.mean()
    target = anchor.for_targets(batch.path.shape[-1])
    return LossOutput(
        loss=prediction_loss if auxiliary is None else prediction_loss + auxiliary,
        forecast=target.restore(final.location).detach(),
        target=truth,
        metrics=metrics,
        expert_load=output.routing.load(),
    )


def _weighted_mean(nll: Tensor, scale: Tensor, beta: float, part: BatchPart) -> Tensor:
    """Mean over terms weighted by ``scale ** beta``; the weights learn nothing."""
    if beta == 0:
        return part.mean(nll)
    weights = scale.detach() ** beta
    return (nll * weights).sum() / part.mean_of_parts(weights.sum())


def _continuations(path: Tensor, tokens: Tensor, steps: int) -> Tensor:
    """The P points after each token ``[B or 1, T']`` of paths ``[B, S, K]``: ``[B, T', P, K]``."""
    ahead = torch.arange(1, steps + 1, device=path.device)
    index = (tokens[..., None] + ahead).clamp_max(path.shape[1] - 1)  # beyond the end: padding
    index = index.flatten(1).expand(path.shape[0], -1)[..., None].expand(-1, -1, path.shape[-1])
    return path.gather(1, index).view(len(path), -1, steps, path.shape[-1])


def _shorten(
    model: MoESequenceRegressor, batch: SequenceBatch, part: BatchPart
) -> tuple[SequenceBatch, Tensor]:
    """Cut the first points off some sequences, and move the rest to the front.

    Returns:
        The batch, of unchanged shape, and the points left of each sequence, ``[B]``.
    """
    size, length, _ = batch.inputs.shape
    device = batch.inputs.device
    config = model.config.context
    kept = torch.full((size,), length, dtype=torch.int64, device=device)
    if config.shortened_share > 0:
        drawn = part.randint(min(config.min_points, length), length + 1, size, device)
        kept = torch.where(part.rand(size, device) < config.shortened_share, drawn, kept)
    return SequenceBatch(
        _advance(batch.inputs, length - kept), _advance(batch.path, length - kept), batch.labels
    ), kept


def _advance(points: Tensor, by: Tensor) -> Tensor:
    """Each sequence ``[B, S, D]`` from point ``by[b]`` on, its last point repeated at the end."""
    if not bool(by.any()):
        return points
    index = (by[:, None] + torch.arange(points.shape[1], device=by.device)).clamp_max(points.shape[1] - 1)
    return points.gather(1, index[..., None].expand_as(points))


def _anchor_lengths(model: MoESequenceRegressor, lengths: Tensor, part: BatchPart = WHOLE) -> Tensor:
    """Points each sequence is anchored on, ``[B]``."""
    if not model.training:
        return lengths
    config = model.config.anchor
    least = lengths.clamp_max(config.min_points)
    size, device = len(lengths), lengths.device
    drawn = least + (part.rand(size, device) * (lengths - least + 1)).long()
    whole = part.rand(size, device) < config.whole_context_share
    return torch.where(whole, lengths, torch.minimum(drawn, lengths))
