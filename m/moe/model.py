"""`MoESequenceRegressor`: the public face of the platform."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from m.attention.attention import CausalSelfAttention, causal_mask
from m.attention.cache import KVCache
from m.attention.rope import rotation
from m.batch_part import WHOLE, BatchPart
from m.experts.experts import Experts, FeedForward
from m.heads.distribution import StepDistribution
from m.heads.head import DistributionHead
from m.moe.anchor import Anchor, compute_anchor
from m.moe.batch import LossOutput, SequenceBatch
from m.moe.block import TransformerBlock
from m.moe.config import ModelConfig
from m.moe.embedding import WindowEmbedding
from m.moe.layer import MoELayer
from m.moe.loss import sequence_loss
from m.moe.request import ForecastRequest
from m.routing.base import Router
from m.routing.record import LayerRouting, RoutingRecord

if TYPE_CHECKING:
    from m.moe.forecast import Forecast

ParameterKind = Literal["router", "experts", "rest"]
_HEAD_STD = 0.02


@dataclass(frozen=True)
class SequenceOutput:
    """Result of a forward pass.

    Attributes:
        distribution: of the P points after each token, ``[B, T, P, K]``, in anchored units.
        anchor: the anchor used, for the inputs.
        routing: which experts served which token in each layer.
    """

    distribution: StepDistribution
    anchor: Anchor
    routing: RoutingRecord

    def in_units(self) -> StepDistribution:
        """The distribution in the inputs' units, ``[B, T, P, K]``."""
        anchor = self.anchor.for_targets(self.distribution.location.shape[-1])
        return anchor.in_units(self.distribution)


class MoESequenceRegressor(nn.Module):
    """Causal mixture-of-experts transformer that maps a sequence of points to what comes next.

    Points are normalised by an anchor, embedded with their short past, passed through the blocks,
    and each position predicts the distribution of the next P points.

    Args:
        config: the architecture; see `ModelConfig`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.activation_checkpointing = False  # `TrainingConfig` has what it does
        self.part: BatchPart = WHOLE
        self.embedding = WindowEmbedding(config.input_dim, config.window, config.window_gain, config.dim)
        self.blocks = nn.ModuleList(TransformerBlock(config, index) for index in range(config.n_layers))
        self.norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
        self.head = DistributionHead(config.dim, config.target_dim, config.head)
        self._initialise()

    def forward(
        self,
        points: Tensor,
        *,
        anchor: Anchor | None = None,
        lengths: Tensor | None = None,
        positions: Tensor | None = None,
        tokens: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> SequenceOutput:
        """Predict the next P points after every token.

        Given the anchor, the output at a position depends on the points up to it and on nothing
        else: not on later points, batch mates or padding, and not on which other positions are
        asked for, as long as those whole strides before it are among them.

        Args:
            points: ``[B, T, D]`` in any units; float64 is kept until the anchor is subtracted.
            anchor: normalisation to use; by default computed from each sequence's valid points.
            lengths: valid points of each right-padded sequence, ``[B]``; default all T.
            positions: of the points in their sequences, ``[B, T]``; default 0..T-1. Needed when the
                points continue a cache.
            tokens: positions to predict from, ``[B or 1, T']``, ascending; default every point given.
                Those at or beyond a sequence's length count as padding. See `token_positions`.
            cache: what came before; updated in place.

        Raises:
            ValueError: wrong shape, or a continued cache without anchor and positions.
        """
        self._check_points(points)
        batch, length, _ = points.shape
        if lengths is None:
            lengths = torch.full((batch,), length, dtype=torch.int64, device=points.device)
        self._check_continuation(anchor, positions, cache, length)
        if anchor is None:
            anchor = compute_anchor(points, lengths, self.config.anchor)
        valid = torch.arange(length, device=points.device) < lengths[:, None]  # [B, T]
        # Whatever padding holds, also NaN, must not reach the cache: 0 * NaN would spoil masked slots.
        anchored = torch.where(valid[..., None], anchor.normalise(points), 0.0).to(self.dtype)  # [B, T, D]
        if positions is None:
            positions = torch.arange(length, device=points.device)[None]  # [1, T]
        if tokens is None:
            tokens = positions
        last = positions[:, :1] + lengths[:, None] - 1  # [B, 1]
        valid = (tokens <= last).expand(batch, -1)  # [B, T']
        # Tokens of padding read the sequence's last point; their positions stay beyond it, unseen.
        places = torch.minimum(tokens, last)  # [B, T']
        history = anchored
        if cache is not None:
            cache.begun = True
            slots = positions.expand(batch, -1)
            history = cache.points.scatter_(1, slots[..., None].expand_as(anchored), anchored)
        hidden, routing = self._transform(history, tokens, places, valid, cache)
        reference = self._reference(history, places) if self.config.head.residual else None
        return SequenceOutput(self.head(hidden, reference), anchor, routing)

    def _transform(
        self, history: Tensor, tokens: Tensor, places: Tensor, valid: Tensor, cache: KVCache | None
    ) -> tuple[Tensor, RoutingRecord]:
        """Embed points ``[B, S, D]`` at ``places [B, T]`` and run the blocks: ``[B, T, dim]``."""
        x = self.embedding(history, places)
        mask = self._mask(tokens, cache)
        # Tokens that see each other lie whole strides apart, and only differences count.
        turns = torch.div(tokens, self.config.stride, rounding_mode="floor")
        rope = rotation(turns, self.config.head_dim, self.config.attention.rope_base, x.dtype)
        slots = None
        if cache is not None:
            # Padding may lie beyond the cache's end too; the last slot is then free, or no row had padding.
            slots = tokens.clamp_max(cache.capacity - 1).expand(x.shape[0], -1)
        records = []
        for index, block in enumerate(self.blocks):
            layer_cache = cache.layers[index // self.config.attention.every] if cache is not None else None
            x, record = self._run_block(block, x, rope, valid, positions=slots, mask=mask, cache=layer_cache)
            if record is not None:
                records.append(record)
        return self.norm(x), RoutingRecord(tuple(records))

    def _run_block(
        self, block: nn.Module, *inputs: Any, **options: Any
    ) -> tuple[Tensor, LayerRouting | None]:
        again = self.activation_checkpointing and self.training and torch.is_grad_enabled()
        result: tuple[Tensor, LayerRouting | None] = (
            checkpoint(block, *inputs, use_reentrant=False, **options) if again else block(*inputs, **options)
        )
        return result

    def _mask(self, tokens: Tensor, cache: KVCache | None) -> Tensor | None:
        """Who sees whom, or None for the plain triangle."""
        stride, reach = self.config.stride, self.config.attention.reach
        if cache is not None:
            slots = torch.arange(cache.capacity, device=tokens.device)[None]
            return causal_mask(tokens, slots, stride, reach)
        return None if stride == 1 and reach is None else causal_mask(tokens, tokens, stride, reach)

    def _reference(self, history: Tensor, places: Tensor) -> Tensor:
        """The points ``[B, T, K]`` at ``places [B, T]``, which predictions are offsets from."""
        targets = history[..., : self.config.target_dim]
        return targets.gather(1, places[..., None].expand(-1, -1, targets.shape[-1]))

    def token_positions(self, lengths: Tensor, *, every: int | None = None) -> Tensor:
        """Positions whose tokens a prediction from the last point of each sequence needs.

        Args:
            lengths: points of each sequence, ``[B]``.
            every: take all positions that lie a multiple of this before the last point; default the
                model's stride.

        Returns:
            ``[B or 1, T']`` ascending, one row when all lengths agree. In rows shorter than the longest
            the last entries lie beyond the end: padding.
        """
        step = every or self.config.stride
        if bool((lengths == lengths[0]).all()):
            lengths = lengths[:1]
        first = (lengths - 1) % step  # [B]
        count = int(((lengths - 1) // step).max()) + 1
        return first[:, None] + step * torch.arange(count, device=lengths.device)

    def loss(self, batch: SequenceBatch) -> LossOutput:
        """Negative log-likelihood of the path, plus the routers' auxiliary losses; see `sequence_loss`."""
        return sequence_loss(self, batch)

    def forecast(
        self,
        context: Any,
        horizon: int,
        *,
        temperature: float = 0.0,
        num_samples: int | None = None,
        lengths: Iterable[int] | None = None,
        seed: int | None = None,
        anchor_points: int | None = None,
    ) -> Forecast:
        """Continue paths.

        Args:
            context: what was observed, ``[T, D]`` or ``[B, T, D]``, in any units; NumPy array, tensor
                or nested list. Float64 coordinates keep all their digits.
            horizon: points to predict; beyond the head's P steps the forecast rolls on from itself.
            temperature: of ``points``: 0 gives the centre, 1 draws a path from the predictive
                distribution, others scale its spread.
            num_samples: also draw this many paths per context, at ``temperature`` when it is above
                0, else at 1.
            lengths: valid points of each right-padded context, B numbers.
            seed: makes sampling repeatable.
            anchor_points: normalise by the end of the first points, so many, as a session does that was
                opened with them; by default by the end of the whole context.

        Raises:
            ValueError: a context of wrong shape or with values that are not finite, an empty
                horizon, a horizon that this model cannot reach, a router that is not causal.
        """
        from m.moe.forecast import make_forecast  # noqa: PLC0415  (forecast builds on the model)

        request = ForecastRequest.read(
            self,
            context,
            horizon,
            temperature=temperature,
            num_samples=num_samples,
            lengths=lengths,
            seed=seed,
            anchor_points=anchor_points,
        )
        return make_forecast(self, request)

    def allocate_cache(self, batch: int, capacity: int) -> KVCache:
        """An empty cache for ``batch`` sequences of at most ``capacity`` points."""
        config = self.config
        return KVCache.allocate(
            batch=batch,
            capacity=capacity,
            n_layers=config.attending_blocks,
            kv_heads=config.attention.kv_heads,
            head_dim=config.head_dim,
            input_dim=config.input_dim,
            dtype=self.dtype,
            device=self.device,
        )

    @torch.no_grad()
    def update_routers(self, expert_load: Tensor) -> None:
        """Tell each router the load since the last optimizer step, and tied experts that there was one.

        Args:
            expert_load: ``[layers, E]`` assignments.
        """
        for router, load in zip(self.routers(), expert_load, strict=True):
            router.update(load)
        for module in self.modules():
            if isinstance(module, Experts):
                module.count_step()

    def routers(self) -> list[Router]:
        """Routers of the mixture-of-experts layers, input side first."""
        # Not by a walk over all modules: every forecast asks.
        layers = (block.feed_forward for block in self.blocks)
        return [layer.router for layer in layers if isinstance(layer, MoELayer)]

    def parameter_kinds(self) -> dict[str, ParameterKind]:
        """What each parameter belongs to, for the optimizer's groups."""
        kinds: dict[str, ParameterKind] = {name: "rest" for name, _ in self.named_parameters()}
        for prefix, module in self.named_modules():
            kind: ParameterKind | None = None
            if isinstance(module, Router):
                kind = "router"
            elif isinstance(module, Experts):
                kind = "experts"
            if kind is not None:
                kinds |= {f"{prefix}.{name}": kind for name, _ in module.named_parameters()}
        return kinds

    def uncompiled_parts(self) -> list[nn.Module]:
        """What a compiler should leave as it is: dispatch, whose shapes depend on where tokens are sent."""
        return [module for module in self.modules() if isinstance(module, Experts)]

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.norm.weight.dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.norm.weight.device

    def _check_points(self, points: Tensor) -> None:
        if points.ndim != 3 or points.shape[-1] != self.config.input_dim or points.shape[1] == 0:
            raise ValueError(
                f"points must have shape [batch, length >= 1, {self.config.input_dim}], "
                f"got {list(points.shape)}"
            )

    @staticmethod
    def _check_continuation(
        anchor: Anchor | None, positions: Tensor | None, cache: KVCache | None, length: int
    ) -> None:
        if positions is not None and cache is None:
            raise ValueError("positions say where points continue a cache; pass the cache too")
        if cache is None:
            return
        if cache.begun and (positions is None or anchor is None):
            raise ValueError("points that continue a cache need their positions and the anchor it began with")
        if positions is None and length > cache.capacity:
            raise ValueError(f"{length} points do not fit a cache of {cache.capacity}; allocate a larger one")

    def _initialise(self) -> None:
        """Normal weights of variance 1 / fan_in; branch outputs smaller by depth (GPT-2's rule)."""
        branch = 1 / math.sqrt(2 * self.config.feed_forwards)
        for module in self.modules():
            if isinstance(module, Experts):
                module.reset_parameters(branch)
            elif isinstance(module, FeedForward):
                nn.init.normal_(module.w_in.weight, std=module.w_in.in_features**-0.5)
                nn.init.normal_(module.w_out.weight, std=branch * module.w_out.in_features**-0.5)
            elif isinstance(module, CausalSelfAttention):
                nn.init.normal_(module.qkv.weight, std=self.config.dim**-0.5)
                nn.init.normal_(module.out.weight, std=branch * self.config.dim**-0.5)
            elif isinstance(module, Router):
                module.reset_parameters()
        nn.init.normal_(self.embedding.projection.weight, std=self.embedding.projection.in_features**-0.5)
        nn.init.zeros_(self.embedding.projection.bias)
        self.head.reset_parameters(_HEAD_STD)
