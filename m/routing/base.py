"""The router interface, the part all routers share, and the registry users add to."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from m.batch_part import WHOLE, BatchPart
from m.config.schema import ConfigError, nearest_hint
from m.routing.config import RouterConfig
from m.routing.record import Routing

_INITIAL_STD = 0.02


class Router(nn.Module):
    """Scores experts with a linear map and lets every token keep its best K.

    Subclasses change one of two things: `selection` (what experts are ranked by) and `losses`
    (what is added to the training loss); a router that works otherwise overrides `forward`.

    Attributes:
        causal: whether, at inference, a token's routing depends on that token alone. A router that
            looks at other tokens says False here, and such a model is refused for generation.
    """

    causal: ClassVar[bool] = True

    def __init__(self, dim: int, config: RouterConfig) -> None:
        super().__init__()
        self.config = config
        self.part: BatchPart = WHOLE
        self.projection = nn.Linear(dim, config.n_experts, bias=False)

    @classmethod
    def parameter_count(cls, dim: int, config: RouterConfig) -> int:
        """Learned parameters of this router; override together with ``__init__``."""
        return dim * config.n_experts

    def reset_parameters(self) -> None:
        """Draw initial weights: small, so that routing starts near uniform."""
        nn.init.normal_(self.projection.weight, std=_INITIAL_STD)

    def forward(self, tokens: Tensor, valid: Tensor) -> Routing:
        """Route N tokens.

        Args:
            tokens: ``[N, D]``.
            valid: ``[N]`` bool; False marks padding, kept out of losses and balancing.
        """
        logits = self.logits(tokens)  # [N, E]
        scores = self.scores(logits)
        ranking = self.selection(logits, scores, valid)
        experts = ranking.detach().topk(self.config.top_k, dim=-1).indices  # [N, K]
        weights = scores.gather(-1, experts)
        # A single gate divided by itself would be 1, and the router would get no gradient from the task.
        if self.config.normalise_weights and self.config.top_k > 1:
            weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-9)
        probabilities = scores / scores.sum(-1, keepdim=True).clamp_min(1e-9)
        losses = self.losses(logits, probabilities, experts, valid) if self.training else {}
        return Routing(experts, weights, probabilities.detach(), losses)

    def logits(self, tokens: Tensor) -> Tensor:
        """Expert logits ``[N, E]``, in float32 at least whatever autocast says: routing is sensitive."""
        with torch.autocast(tokens.device.type, enabled=False):
            dtype = torch.promote_types(tokens.dtype, torch.float32)
            logits = nn.functional.linear(tokens.to(dtype), self.projection.weight.to(dtype))
        logits = logits / self.config.temperature
        if self.training and self.config.noise_std > 0:
            logits = logits + self.config.noise_std * self.part.randn_like(logits)
        return logits

    def scores(self, logits: Tensor) -> Tensor:
        """Non-negative expert scores ``[N, E]``, from which gate weights are taken."""
        return logits.softmax(-1) if self.config.score == "softmax" else logits.sigmoid()

    def selection(self, logits: Tensor, scores: Tensor, valid: Tensor) -> Tensor:
        """What experts are ranked by, ``[N, E]``; plain top-k ranks by the scores."""
        del logits, valid
        return scores

    def losses(
        self, logits: Tensor, probabilities: Tensor, experts: Tensor, valid: Tensor
    ) -> dict[str, Tensor]:
        """Weighted auxiliary losses by name; called in training only."""
        del logits, probabilities, experts, valid
        return {}

    def update(self, load: Tensor) -> None:
        """Take in the load of the last optimizer step, ``[E]`` assignments; plain routers ignore it."""


RouterClass = TypeVar("RouterClass", bound=type[Router])
_ROUTERS: dict[str, type[Router]] = {}


def register_router(kind: str) -> Callable[[RouterClass], RouterClass]:
    """Class decorator: make a router available as ``router.kind: <kind>``.

    Raises:
        ValueError: the name is taken.
    """

    def register(cls: RouterClass) -> RouterClass:
        if kind == "dense" or kind in _ROUTERS:
            raise ValueError(f"router kind '{kind}' is already registered; choose another name")
        _ROUTERS[kind] = cls
        return cls

    return register


def router_class(kind: str) -> type[Router]:
    """The router registered under ``kind``.

    Raises:
        ConfigError: no such router; names the nearest.
    """
    if kind not in _ROUTERS:
        raise ConfigError(f"unknown router.kind '{kind}'{nearest_hint(kind, router_kinds())}")
    return _ROUTERS[kind]


def router_kinds() -> list[str]:
    """All names that ``router.kind`` accepts."""
    return sorted([*_ROUTERS, "dense"])
