"""Stacked expert networks and the single feed-forward they generalise."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from m.experts.activation import apply_activation, is_gated
from m.experts.config import Activation, ExpertsConfig
from m.experts.dispatch import Dispatcher, LocalDispatcher
from m.experts.matmul import grouped_matmul


def autocast_type(tensor: Tensor) -> torch.dtype:
    """Type that matrix products of this tensor should run in.

    CPU autocast does not know grouped_mm, so the cast is made by hand.
    """
    device = tensor.device.type
    if torch.is_autocast_enabled(device) and tensor.dtype == torch.float32:
        return torch.get_autocast_dtype(device)
    return tensor.dtype


class Experts(nn.Module):
    """E feed-forward networks with stacked weights.

    Parameters: ``w_in [E, D, F or 2F]`` (gate half first for gated activations), ``w_out [E, F, D]``.
    Without biases, as is usual for mixture-of-experts transformers.

    With ``config.tied_steps`` training begins with equal experts, of which one is computed. All get
    its gradient, so that optimizers that treat each weight by its own gradients keep them equal, and whatever
    is saved in between is a valid mixture.
    """

    steps_tied: Tensor

    def __init__(self, dim: int, n_experts: int, config: ExpertsConfig) -> None:
        super().__init__()
        self.config = config
        self.n_experts = n_experts
        width = config.hidden_dim * (2 if is_gated(config.activation) else 1)
        self.dispatcher: Dispatcher = LocalDispatcher(n_experts, max(dim, width))
        self.w_in = nn.Parameter(torch.empty(n_experts, dim, width))
        self.w_out = nn.Parameter(torch.empty(n_experts, config.hidden_dim, dim))
        self._left: int | None = 0  # steps still tied; None: as the buffer says, which may wait for a device
        if config.tied_steps:
            self.register_buffer("steps_tied", torch.zeros((), dtype=torch.int64))
            self._left = config.tied_steps

    def reset_parameters(self, out_scale: float) -> None:
        """Draw normal weights of variance 1 / fan_in, and ``out_scale`` times that root for ``w_out``."""
        for weight, scale in ((self.w_in, 1.0), (self.w_out, out_scale)):
            drawn = weight.detach()[:1] if self.config.tied_steps else weight
            nn.init.normal_(drawn, std=scale * weight.shape[1] ** -0.5)
            if self.config.tied_steps:
                weight.detach()[1:] = drawn

    @property
    def tied(self) -> bool:
        """Whether all experts still are one."""
        if self._left is None:
            self._left = max(self.config.tied_steps - int(self.steps_tied), 0)
        return self._left > 0

    def count_step(self) -> None:
        """Take note of an optimizer step."""
        if self.tied:
            self.steps_tied += 1
            self._left = (self._left or 0) - 1

    def read_steps(self) -> None:
        """Take note that the buffer was changed from outside."""
        if self.config.tied_steps:
            self._left = None

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        super()._load_from_state_dict(*args, **options)
        self.read_steps()

    def forward(self, tokens: Tensor, experts: Tensor, weights: Tensor) -> Tensor:
        """Send each token through its experts and sum by gate weight.

        Args:
            tokens: ``[N, D]``.
            experts: ``[N, K]`` int64.
            weights: ``[N, K]``.

        Returns:
            ``[N, D]`` in the tokens' type.
        """
        if self.training and self.tied:
            return self._as_one(tokens, weights)
        if self.config.kernel == "batched":
            return self._batched(tokens, experts, weights).to(tokens.dtype)
        dtype = autocast_type(tokens)
        networks = partial(self._networks, self.w_in.to(dtype), self.w_out.to(dtype))
        return self.dispatcher(tokens.to(dtype), experts, weights, networks).to(tokens.dtype)

    def _networks(self, w_in: Tensor, w_out: Tensor, rows: Tensor, counts: Tensor) -> Tensor:
        """Experts on rows sorted by expert, ``[M, D] -> [M, D]``; see `Networks`."""
        hidden = grouped_matmul(rows, w_in, counts, self.config.kernel)
        hidden = apply_activation(hidden, self.config.activation)  # [M, F]
        return grouped_matmul(hidden, w_out, counts, self.config.kernel)

    def _as_one(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """What equal experts give, from their mean."""
        dtype = autocast_type(tokens)
        hidden = tokens.to(dtype) @ self.w_in.mean(0).to(dtype)
        output = apply_activation(hidden, self.config.activation) @ self.w_out.mean(0).to(dtype)
        return (output * weights.sum(-1, keepdim=True)).to(tokens.dtype)

    def _batched(self, tokens: Tensor, experts: Tensor, weights: Tensor) -> Tensor:
        """All experts on all tokens as one network E times as wide, gates zero for those not chosen.

        No expert is left out because an example did not choose it, no shape depends on the data, and both
        products are plain ones, which every export format knows and can quantise.
        """
        dim, count = tokens.shape[-1], self.n_experts
        gate = torch.zeros_like(tokens[:, :1]).to(weights.dtype).expand(-1, count)  # [N, E]
        gate = gate.scatter(1, experts, weights)
        hidden = tokens @ self.w_in.transpose(0, 1).reshape(dim, -1)  # [N, E * (F or 2F)]
        hidden = hidden.view(tokens.shape[0], count, -1)
        hidden = apply_activation(hidden, self.config.activation)  # [N, E, F]
        gated = hidden * gate.unsqueeze(-1).to(hidden.dtype)
        return gated.flatten(1) @ self.w_out.reshape(-1, dim)


class FeedForward(nn.Module):
    """One feed-forward network: the shared expert, and the whole layer of a dense model."""

    def __init__(self, dim: int, hidden_dim: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.w_in = nn.Linear(dim, hidden_dim * (2 if is_gated(activation) else 1), bias=False)
        self.w_out = nn.Linear(hidden_dim, dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """``[..., D] -> [..., D]``."""
        output: Tensor = self.w_out(apply_activation(self.w_in(tokens), self.activation))
        return output
