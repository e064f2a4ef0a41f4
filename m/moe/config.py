"""The whole model's configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from m._checks import at_least, between, positive
from m.attention.config import AttentionConfig
from m.experts.config import ExpertsConfig
from m.heads.config import HeadConfig
from m.routing.config import RouterConfig

ORIENTED_DIMENSIONS = (2, 3)
_LONGEST_WINDOW = 4096  # its cosine modes take the square of it in memory


@dataclass(frozen=True, kw_only=True)
class AnchorConfig:
    """How sequences are normalised: once, from their first points, for good.

    Attributes:
        location: ``mean`` of the anchoring points, or the ``last`` of them.
        scale: one standard deviation for all channels (``pooled``: keeps angles and shapes, right for
            coordinates) or one for each (``per_channel``: for channels of different kinds).
        orientation: ``motion`` turns each sequence into the frame of its own motion (see
            `m.moe.orientation`): exact equivariance to rotation, and a simpler problem to learn.
            ``none`` keeps the axes given, right where they mean something, as up and down do.
        mirror: with ``motion``, also give every path that has a handedness the same: exact
            equivariance to reflection, and half as much to learn.
        span: anchoring points at most, counted back from the last; 0 for all. Long contexts are then
            normalised as the shorter ones of training were.
        rolling: when a forecast goes on from its own points, ``fresh`` reads the last points (as many as
            the context had, or 64) anew with each block, by an anchor of their own: by what is known,
            every block is then as good as a first one. ``held`` keeps the anchor and with it the cached
            keys of all that was read, and reads the block alone: less work where a token holds few points,
            but training shows few points that lie far from their anchor, and errors grow faster
            (docs/experiments.md).
        min_points: in training a sequence's anchor comes from a prefix of random length, at least
            this long, as a serving session anchors on the context it was opened with.
        whole_context_share: share of training sequences anchored on their whole context instead,
            as a single forecast does.
    """

    location: Literal["mean", "last"] = "last"
    scale: Literal["pooled", "per_channel"] = "pooled"
    orientation: Literal["none", "motion"] = "none"
    mirror: bool = False
    span: int = 0
    rolling: Literal["fresh", "held"] = "fresh"
    min_points: int = 8
    whole_context_share: float = 0.5

    def __post_init__(self) -> None:
        at_least("anchor.min_points", self.min_points, 2)  # one point has no scale
        if self.span:
            at_least("anchor.span", self.span, 2)
        if self.mirror and self.orientation == "none":
            raise ValueError("anchor.mirror needs anchor.orientation motion, whose frame it reflects")
        if self.orientation == "motion" and self.scale != "pooled":
            raise ValueError("anchor.orientation motion mixes the channels, so it needs scale: pooled")
        between("anchor.whole_context_share", self.whole_context_share, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class ContextConfig:
    """How much of each training sequence the model is shown, so that it learns short contexts too.

    Attributes:
        shortened_share: share of training sequences of which only the last points are shown.
        min_points: how few; the number is uniform from here to all.
    """

    shortened_share: float = 0.0
    min_points: int = 8

    def __post_init__(self) -> None:
        between("context.shortened_share", self.shortened_share, 0.0, 1.0)
        at_least("context.min_points", self.min_points, 2)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A mixture-of-experts transformer for continuous sequences.

    Attributes:
        input_dim: channels D of an input point.
        target_dim: channels K of a predicted point. With ``K <= D`` targets are the first K input
            channels; with ``K > D`` they are other quantities, predicted in their own units.
        dim: model width, a multiple of 8 (so that grouped matrix products apply) and of the heads.
        n_layers: transformer blocks.
        window: points the embedding of a point looks back over (itself included).
        stride: points between the tokens that attend to each other. A token predicts from its own
            window and from the tokens 1, 2, ... strides before it, so a forecast costs one token per
            stride, not one per point; at most ``window``, so that no point is overlooked. 1 is the
            plain transformer.
        window_gain: in that look-back, cosine mode k of the displacements is amplified by
            ``(1 + k) ** window_gain``, so that curvature is learned as early as speed.
        dense_feed_forward: before its mixture each block feeds forward through one network as wide as a
            token's active experts together. Depth then costs less than with twice the mixtures, and the
            router sees what that network made of a token. (GShard, arXiv 2006.16668, alternates so.)
        dropout: on all residual branches, in training.
        norm_eps: epsilon of RMSNorm.
        attention: see `AttentionConfig`.
        router: see `RouterConfig`.
        experts: see `ExpertsConfig`.
        head: see `HeadConfig`.
        anchor: see `AnchorConfig`.
        context: see `ContextConfig`.
    """

    input_dim: int = 3
    target_dim: int = 3
    dim: int = 256
    n_layers: int = 4
    window: int = 32
    stride: int = 1
    window_gain: float = 1.0
    dense_feed_forward: bool = False
    dropout: float = 0.0
    norm_eps: float = 1e-6
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    router: RouterConfig = field(default_factory=RouterConfig)
    experts: ExpertsConfig = field(default_factory=ExpertsConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    anchor: AnchorConfig = field(default_factory=AnchorConfig)
    context: ContextConfig = field(default_factory=ContextConfig)

    def __post_init__(self) -> None:
        for name in ("input_dim", "target_dim", "dim", "n_layers"):
            at_least(f"model.{name}", getattr(self, name), 1)
        between("model.window", self.window, 1, _LONGEST_WINDOW)
        between("model.stride", self.stride, 1, self.window)
        at_least("model.window_gain", self.window_gain, 0.0)
        between("model.dropout", self.dropout, 0.0, 0.99)
        positive("model.norm_eps", self.norm_eps)
        self._check_widths()
        self._check_orientation()
        if self.head.residual and self.target_dim > self.input_dim:
            raise ValueError(
                f"model.head.residual needs targets that are input channels, but target_dim "
                f"{self.target_dim} > input_dim {self.input_dim}; set model.head.residual to false"
            )

    def _check_widths(self) -> None:
        if self.dim % 8 or self.experts.hidden_dim % 8 or self.experts.shared_hidden_dim % 8:
            raise ValueError(
                f"model.dim {self.dim}, experts.hidden_dim {self.experts.hidden_dim} and "
                f"experts.shared_hidden_dim {self.experts.shared_hidden_dim} must be multiples of 8"
            )
        if self.dim % self.attention.n_heads or self.head_dim % 2:
            raise ValueError(
                f"model.dim {self.dim} must split into attention.n_heads {self.attention.n_heads} "
                f"heads of even width"
            )

    def _check_orientation(self) -> None:
        if self.anchor.orientation == "none":
            return
        if self.input_dim not in ORIENTED_DIMENSIONS or self.target_dim != self.input_dim:
            raise ValueError(
                f"model.anchor.orientation motion needs points of 2 or 3 coordinates that are also the "
                f"targets, but input_dim is {self.input_dim} and target_dim {self.target_dim}; set it to none"
            )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.attention.n_heads

    def attends(self, index: int) -> bool:
        """Whether block ``index``, counted from 0, has attention."""
        return index % self.attention.every == 0

    @property
    def attending_blocks(self) -> int:
        """Number of blocks that have attention."""
        return -(-self.n_layers // self.attention.every)

    @property
    def feed_forwards(self) -> int:
        """Number of feed-forward branches, mixtures included."""
        return self.n_layers * (2 if self.dense_feed_forward else 1)

    @property
    def can_roll_on(self) -> bool:
        """Whether predictions can be fed back as inputs, for horizons beyond the head's steps."""
        return self.input_dim == self.target_dim
