"""What a router is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from m._checks import at_least, between, positive


@dataclass(frozen=True, kw_only=True)
class RouterConfig:
    """How tokens choose experts.

    Attributes:
        kind: registered router: ``topk`` (load-balance and z losses), ``topk_bias`` (balanced by a
            load-driven bias, no auxiliary loss), ``sinkhorn`` (balanced in training, plain top-k at
            inference), ``dense`` (no experts: one feed-forward of the same active width), or a name
            that you registered.
        n_experts: number of routed experts E.
        top_k: experts per token K.
        score: what turns logits into scores: ``softmax`` over experts or ``sigmoid`` per expert.
        normalise_weights: divide the K gate weights of a token by their sum; without effect at K = 1,
            where the gate would be the constant 1 and the router would not learn (Switch's form).
        temperature: logits are divided by it; above 1 flattens the routing.
        noise_std: standard deviation of Gaussian noise added to the logits, in training only.
        balance_loss_weight: weight of the load-balance loss (``topk``, ``sinkhorn``).
        z_loss_weight: weight of the z loss, which keeps logits small (ST-MoE, arXiv 2202.08906).
        bias_update_rate: step of the load-driven bias (``topk_bias``).
        sinkhorn_iterations: row and column normalisations (``sinkhorn``).
        options: free settings of routers that you register.
    """

    kind: str = "topk"
    n_experts: int = 8
    top_k: int = 2
    score: Literal["softmax", "sigmoid"] = "softmax"
    normalise_weights: bool = True
    temperature: float = 1.0
    noise_std: float = 0.0
    balance_loss_weight: float = 0.01
    z_loss_weight: float = 0.001
    bias_update_rate: float = 0.001
    sinkhorn_iterations: int = 8
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        at_least("router.n_experts", self.n_experts, 1)
        between("router.top_k", self.top_k, 1, self.n_experts)
        positive("router.temperature", self.temperature)
        at_least("router.sinkhorn_iterations", self.sinkhorn_iterations, 1)
        for name in ("noise_std", "balance_loss_weight", "z_loss_weight", "bias_update_rate"):
            at_least(f"router.{name}", getattr(self, name), 0.0)

    @property
    def is_dense(self) -> bool:
        """Whether there is nothing to route."""
        return self.kind == "dense"
