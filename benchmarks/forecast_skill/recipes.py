"""How each peer is trained: loss, batch, rate and decay (docs/skill.md has the trials there were)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from benchmarks.forecast_skill.networks import DLinear, NHits, PatchTST, Recurrent, ResidualMlp
from benchmarks.forecast_skill.peer import Peer, PeerLoss
from m.training import TrainingConfig

ENDLESS = 10**9  # optimizer steps: a race ends by the clock


@dataclass(frozen=True, kw_only=True)
class PeerRecipe:
    """A peer and its training.

    Attributes:
        title: as in tables.
        network: makes the network from the context's and the horizon's number of points, and options.
        options: of the network.
        loss: see `benchmarks.forecast_skill.peer`.
        batch_size: windows of a step.
        optimizer: as in `TrainingConfig`.
        learning_rate: peak rate.
        weight_decay: of matrices.
        beta2: of the optimizer.
    """

    title: str
    network: Callable[..., nn.Module]
    options: Mapping[str, Any] = field(default_factory=dict)
    loss: PeerLoss = "distance"
    batch_size: int = 64
    optimizer: Literal["adamw", "soap"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    beta2: float = 0.98

    def build(self, context: int, horizon: int) -> Peer:
        """The untrained peer for contexts of L points and H points to forecast."""
        return Peer(self.network(context, horizon, **self.options), self.loss)

    def training(self, seed: int) -> TrainingConfig:
        """The same as a `TrainingConfig`, the clock in place of a number of steps."""
        return TrainingConfig(
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            beta2=self.beta2,
            gradient_clip_norm=1.0,
            max_steps=ENDLESS,
            seed=seed,
        )


RECIPES: dict[str, PeerRecipe] = {
    # Two small maps: a step costs next to nothing, so large batches are free, and bear a higher rate.
    "dlinear": PeerRecipe(title="DLinear", network=DLinear, batch_size=256, learning_rate=1e-2),
    # Three series a window make 192 rows of a step's products; twice the published rate learns faster.
    "n-hits": PeerRecipe(title="N-HiTS", network=NHits, learning_rate=2e-3),
    # Pooling by the mean keeps mirrored paths mirrored, and three axes at once see the plane of motion.
    "n-hits-joint": PeerRecipe(
        title="N-HiTS, axes joint",
        network=NHits,
        options={"pooling": "mean", "joint": True},
        batch_size=128,
        learning_rate=2e-3,
    ),
    # 1e-4 is published, for training sets seen many times over; an endless stream bears far more.
    "patchtst": PeerRecipe(title="PatchTST", network=PatchTST, learning_rate=2e-3),
    # 64 points in sequence cost time however few rows they have; updates are few, so their rate is high.
    # With twice this one, which short trials liked, a run of 20 minutes diverges.
    "gru": PeerRecipe(title="GRU", network=Recurrent, learning_rate=2e-3),
    # Reading amplified displacements too lets it learn speed and curvature sooner. With 128 windows a step
    # is 1.5 GFLOP, large beside the overheads of a step.
    "residual-mlp": PeerRecipe(
        title="residual MLP", network=ResidualMlp, options={"step_gain": 5.0}, batch_size=128
    ),
    # How much of the mixture's lead is its optimizer: the same network, trained as the mixture is.
    "residual-mlp-soap": PeerRecipe(
        title="residual MLP, SOAP",
        network=ResidualMlp,
        options={"step_gain": 5.0},
        batch_size=512,
        optimizer="soap",
        learning_rate=3e-3,
    ),
}
