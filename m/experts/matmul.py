"""The one seam where a kernel for the experts' matrix products is chosen."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from m.experts.config import Kernel

_ALIGNMENT_BYTES = 16  # grouped_mm wants strides in multiples of this, forward and backward


def grouped_matmul(tokens: Tensor, weights: Tensor, counts: Tensor, kernel: Kernel = "auto") -> Tensor:
    """Multiply each expert's run of tokens by that expert's matrix.

    Args:
        tokens: ``[M, I]``, sorted by expert.
        weights: ``[E, I, O]``.
        counts: tokens per expert, ``[E]`` int64, summing to M.
        kernel: ``auto``, ``grouped_mm`` or ``loop``.

    Returns:
        ``[M, O]``.

    Raises:
        ValueError: ``grouped_mm`` was demanded where it cannot work; says why.
    """
    obstacle = None if kernel == "loop" else grouped_mm_obstacle(tokens, weights)
    if kernel == "grouped_mm" and obstacle:
        raise ValueError(f"experts.kernel 'grouped_mm' cannot be used here: {obstacle}; use 'auto' or 'loop'")
    if kernel == "loop" or obstacle:
        return _loop_matmul(tokens, weights, counts)
    return F.grouped_mm(tokens, weights, offs=counts.cumsum(0).to(torch.int32))


def grouped_mm_obstacle(tokens: Tensor, weights: Tensor) -> str | None:
    """Why ``torch.nn.functional.grouped_mm`` cannot multiply these, or None when it can.

    The limits were measured on torch 2.13: float64 is refused, strides must be multiples of 16
    bytes, fp32 has no meta kernel (so it neither compiles nor exports).
    """
    if not hasattr(F, "grouped_mm"):
        return f"torch {torch.__version__} has no grouped_mm"
    if tokens.dtype not in (torch.float32, torch.bfloat16, torch.float16) or weights.dtype != tokens.dtype:
        return f"types {tokens.dtype} x {weights.dtype}"
    if any(size * tokens.element_size() % _ALIGNMENT_BYTES for size in weights.shape[1:]):
        return f"widths {tuple(weights.shape[1:])} are not multiples of {_ALIGNMENT_BYTES} bytes"
    if torch.compiler.is_compiling() and tokens.dtype != torch.bfloat16:
        return f"{tokens.dtype} under torch.compile or torch.export"
    if tokens.device.type == "cuda" and torch.cuda.get_device_capability(tokens.device) < (8, 0):
        return "a CUDA device below compute capability 8.0"
    return None


def _loop_matmul(tokens: Tensor, weights: Tensor, counts: Tensor) -> Tensor:
    # unbind, not weights[e]: indexing makes every expert's gradient a full-size zero tensor.
    runs = torch.split(tokens, counts.tolist())
    return torch.cat([run @ weight for run, weight in zip(runs, weights.unbind(0), strict=True)])
