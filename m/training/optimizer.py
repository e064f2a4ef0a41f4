"""The optimizer, with parameter groups by kind (router, experts, rest) and by whether weights decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from m.training.config import TrainingConfig
from m.training.interfaces import ParameterKind
from m.training.precision import choose_precision
from m.training.soap import Soap

# Device types whose fused AdamW kernel this package relies on; elsewhere the plain one runs.
_FUSED_DEVICES = ("cpu", "cuda")


def build_optimizer(
    model: nn.Module, kinds: Mapping[str, ParameterKind], config: TrainingConfig
) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019) or SOAP (see `Soap`) over the trainable parameters of ``model``.

    Each group carries ``name`` ("experts/decay"), ``lr_scale`` and ``param_names``. Norms, biases and
    parameters with fewer than two dimensions do not decay.

    Args:
        model: its parameters, already on their device.
        kinds: kind by parameter name, for every trainable parameter.
        config: which optimizer; rates, betas, weight decay.

    Raises:
        ValueError: nothing to train, a parameter without a kind, or an unknown kind.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    _check_kinds(named, kinds)
    undecayed = _undecayed_names(model, named)
    scales: dict[ParameterKind, float] = {
        "router": config.router_learning_rate_scale,
        "experts": config.expert_learning_rate_scale,
        "rest": 1.0,
    }
    groups: list[dict[str, Any]] = []
    for kind, scale in scales.items():
        for decays, split in ((True, False), (True, True), (False, False), (False, True)):
            members = [
                (name, p)
                for name, p in named.items()
                if kinds[name] == kind and (name not in undecayed) == decays and _is_split(p) == split
            ]
            if members:
                groups.append(
                    {
                        "params": members,
                        "name": f"{kind}/{'decay' if decays else 'no_decay'}",
                        "lr_scale": scale,
                        "lr": config.learning_rate * scale,
                        "weight_decay": config.weight_decay if decays else 0.0,
                    }
                )
    betas = (config.beta1, config.beta2)
    if config.optimizer == "soap":
        device = next(iter(named.values())).device
        fast = torch.bfloat16 if choose_precision(config.precision, device).name == "bf16" else None
        return Soap(
            groups,
            lr=config.learning_rate,
            betas=betas,
            refresh_interval=config.soap_refresh_interval,
            max_side=config.soap_max_side,
            product_type=fast,
        )
    fused = all(p.device.type in _FUSED_DEVICES and p.is_floating_point() for p in named.values())
    return AdamW(groups, lr=config.learning_rate, betas=betas, fused=fused)


def _is_split(parameter: nn.Parameter) -> bool:
    """Whether this process holds a part of it (a `DTensor`): one update does not take both kinds."""
    return hasattr(parameter, "device_mesh")


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group ``rate`` times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]


def optimizer_state(optimizer: Optimizer) -> dict[str, dict[str, Tensor]]:
    """Moments by parameter name. Rates and decays are not included: they come from the configuration."""
    return {
        name: dict(optimizer.state[parameter])
        for group in optimizer.param_groups
        for name, parameter in zip(group["param_names"], group["params"], strict=True)
        if parameter in optimizer.state
    }


def load_optimizer_state(optimizer: Optimizer, state: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Put back what `optimizer_state` returned.

    Raises:
        ValueError: the state names parameters that the optimizer does not have.
    """
    names = [name for group in optimizer.param_groups for name in group["param_names"]]
    unknown = sorted(set(state) - set(names))
    if unknown:
        raise ValueError(f"optimizer state for unknown parameters {unknown[:5]}; was the model changed?")
    packed = {index: dict(state[name]) for index, name in enumerate(names) if name in state}
    optimizer.load_state_dict({"state": packed, "param_groups": optimizer.state_dict()["param_groups"]})


def _check_kinds(named: Mapping[str, nn.Parameter], kinds: Mapping[str, ParameterKind]) -> None:
    if not named:
        raise ValueError("the model has no trainable parameter")
    missing = sorted(set(named) - set(kinds))
    if missing:
        raise ValueError(f"parameter_kinds() leaves out {missing[:5]}; give every parameter a kind")
    allowed = get_args(ParameterKind)
    wrong = {name: kinds[name] for name in named if kinds[name] not in allowed}
    if wrong:
        raise ValueError(f"parameter_kinds() gives {wrong}; kinds are {', '.join(allowed)}")


def _undecayed_names(model: nn.Module, named: Mapping[str, nn.Parameter]) -> set[str]:
    in_norms = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if type(module).__name__.endswith("Norm")
        for name, _ in module.named_parameters(recurse=False)
    }
    # By last name too: the biases of stacked experts are matrices [E, F].
    return {
        name
        for name, p in named.items()
        if name in in_norms or p.ndim < 2 or "bias" in name.rpartition(".")[2]
    }


def check_same_device(model: nn.Module, device: torch.device) -> None:
    """Refuse a model that is not wholly on ``device``'s type (its optimizer state would be split)."""
    for name, parameter in model.named_parameters():
        if parameter.device.type != device.type:
            raise ValueError(f"parameter {name} is on {parameter.device}, training runs on {device}")
