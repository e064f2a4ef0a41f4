"""SOAP: Adam in the eigenbasis of the gradients' covariance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw

# Index of the side's axis -> names in a parameter's state of its covariance and its basis.
_SIDES = {-2: ("rows", "rows_basis"), -1: ("columns", "columns_basis")}


class Soap(Optimizer):
    """Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam" (arXiv 2409.11321, algorithm 3).

    For a matrix of gradients G, running means of ``G G^T`` and ``G^T G`` are kept, and AdamW runs on
    G turned into their eigenvectors, where curvature is nearly diagonal; its update is turned back. Where a
    regression must be precise this needs a fraction of AdamW's training sequences; it pays for large
    batches, since its own cost does not grow with them.

    Differences from the paper: a side longer than ``max_side`` is not turned (as there); covariances
    are measured every ``measure_interval`` steps, not every step; the mean gradient is kept in the
    turned basis, and turned along when the basis is. As there, the first gradient only begins the bases
    and moves nothing: in its own eigenvectors all but a diagonal is rounding noise. All but the last
    two axes of a parameter (stacked experts) share the bases of their sides.

    Args:
        params: parameters or groups, as for every optimizer; vectors get plain AdamW.
        lr: learning rate.
        betas: decays of the means of gradients and of their squares.
        eps: added to the root of the squares' mean.
        weight_decay: decoupled decay.
        measure_interval: steps between updates of the covariances.
        measure_decay: decay of the covariances' running mean, per update.
        refresh_interval: steps between updates of the bases: one power iteration with a QR
            decomposition, as in the paper.
        max_side: longest side that is turned.
        product_type: number format of the products that turn float32 gradients and measure their
            covariances; None keeps float32. Other parameters keep their own type.
    """

    def __init__(
        self,
        params: Any,
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        measure_interval: int = 5,
        measure_decay: float = 0.8,
        refresh_interval: int = 25,
        max_side: int = 256,
        product_type: torch.dtype | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "measure_interval": measure_interval,
            "measure_decay": measure_decay,
            "refresh_interval": refresh_interval,
            "max_side": max_side,
            "product_type": product_type,
        }
        super().__init__(params, defaults)
        # Given a parameter's name and a covariance, adds what other processes have of it: theirs of stacked
        # experts that are spread over processes. Moments then turn alike everywhere.
        self.complete_covariance: Callable[[str, Tensor], None] | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient.

        Raises:
            ValueError: a closure was given.
        """
        if closure is not None:
            raise ValueError("Soap makes one update for each backward pass and takes no closure")
        for group in self.param_groups:
            names = group.get("param_names", [""] * len(group["params"]))
            for name, parameter in zip(names, group["params"], strict=True):
                if parameter.grad is not None:
                    self._update(name, parameter, parameter.grad, group)

    def _measure(self, name: str, gradient: Tensor, axis: int, product_type: torch.dtype | None) -> Tensor:
        covariance = _covariance(gradient, axis, product_type)
        if self.complete_covariance is not None:
            self.complete_covariance(name, covariance)
        return covariance

    def _begin(self, name: str, gradient: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """Moments, and for sides that are turned the first covariance and its eigenvectors."""
        state: dict[str, Any] = {
            "step": torch.zeros((), dtype=torch.float32),  # on the host, where its value is read
            "exp_avg": torch.zeros_like(gradient),
            "exp_avg_sq": torch.zeros_like(gradient),
        }
        if gradient.ndim < 2:
            return state
        for axis, (covariance, basis) in _SIDES.items():
            if 1 < gradient.shape[axis] <= group["max_side"]:
                state[covariance] = self._measure(name, gradient, axis, group["product_type"])
                state[basis] = torch.linalg.eigh(state[covariance])[1].flip(1).contiguous()
        return state

    def _update(self, name: str, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state.update(self._begin(name, gradient, group))
            if _turned_sides(state):
                return
        number = int(state["step"]) + 1
        product_type = group["product_type"]
        sides = _turned_sides(state)
        if number % group["measure_interval"] == 0:
            for axis in sides:
                covariance = self._measure(name, gradient, axis, product_type)
                state[_SIDES[axis][0]].lerp_(covariance, 1 - group["measure_decay"])
        turned = _turn(gradient, state, product_type)
        update = torch.zeros_like(turned)  # AdamW moves it by its step, from zero
        adamw(
            [update],
            [turned],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [],
            [state["step"]],
            fused=update.device.type == "cpu",  # elsewhere it wants the step's number on the device
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(_turn(update, state, product_type, back=True))
        if number % group["refresh_interval"] == 0:
            for axis in sides:
                _refresh(state, axis)


def _turned_sides(state: dict[str, Any]) -> list[int]:
    return [axis for axis, (_, basis) in _SIDES.items() if basis in state]


def _covariance(gradient: Tensor, axis: int, product_type: torch.dtype | None) -> Tensor:
    """Sum of outer products of the gradient's vectors along an axis, ``[side, side]``."""
    vectors = _for_products(gradient.movedim(axis, 0).flatten(1), product_type)  # [side, all else]
    return (vectors @ vectors.mT).to(gradient.dtype)


def _turn(
    matrix: Tensor, state: dict[str, Any], product_type: torch.dtype | None, *, back: bool = False
) -> Tensor:
    """Into the eigenbasis, or back."""
    sides = _turned_sides(state)
    turned = _for_products(matrix, product_type) if sides else matrix
    for axis in sides:
        basis = state[_SIDES[axis][1]].to(turned.dtype)
        basis = basis.mT if back else basis
        turned = basis.mT @ turned if axis == -2 else turned @ basis
    return turned.to(matrix.dtype)


def _for_products(matrix: Tensor, product_type: torch.dtype | None) -> Tensor:
    return matrix.to(product_type) if product_type and matrix.dtype == torch.float32 else matrix


def _refresh(state: dict[str, Any], axis: int) -> None:
    """One step of orthogonal iteration; moments follow their directions."""
    names = _SIDES[axis]
    covariance, old = state[names[0]], state[names[1]]
    product = covariance @ old
    order = (old * product).sum(0).argsort(descending=True)  # by estimated eigenvalue
    new = torch.linalg.qr(product[:, order])[0]
    between = old.mT @ new
    mean = state["exp_avg"]
    state["exp_avg"] = between.mT @ mean if axis == -2 else mean @ between
    # Squares do not turn; a direction keeps those of the one it grew out of.
    state["exp_avg_sq"] = state["exp_avg_sq"].index_select(axis, order)
    state[names[1]] = new
