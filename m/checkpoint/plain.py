"""The content a checkpoint may hold: tensors, numbers, strings, booleans, None, lists, dicts. No objects.

Plain content needs no code to be read back, which is what makes a checkpoint from a stranger safe to
open and readable by a later version of this package.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

_LEAVES = (bool, int, float, str, type(None))
_MAX_DEPTH = 64

_ADVICE = {
    "tuple": "store it as a list",
    "set": "store it as a sorted list",
    "ndarray": "convert it with torch.from_numpy(...) or .tolist()",
    "PosixPath": "store str(path)",
    "WindowsPath": "store str(path)",
}


def plain_copy(value: Any, where: str = "payload", depth: int = 0, *, stored: bool = False) -> Any:
    """Return ``value`` with fresh dicts and lists and detached tensors, or say what is not plain.

    Args:
        value: what to check.
        where: key path of ``value``, for the message.
        depth: nesting so far; beyond 64 the content is refused (a cycle, or a hostile file).
        stored: whether ``value`` was read from a file. Then no tensor is copied, and one whose storage
            is smaller than its shape (an expanded one) is refused: it could describe any size at no
            cost. On the way to a file, tensors are given a storage of exactly their size, since a file
            holds whole storages.

    Raises:
        TypeError: something not plain; the message names its key path and type.
    """
    if depth > _MAX_DEPTH:
        raise TypeError(f"{where}: nested deeper than {_MAX_DEPTH} levels; is there a cycle?")
    if type(value) in _LEAVES:  # exact: numpy.float64 is a float by inheritance but pickles as an object
        return value
    if isinstance(value, Tensor):
        tensor = _plain_tensor(value, where)
        return _as_stored(tensor, where) if stored else _own_storage(tensor)
    if type(value) in (dict, OrderedDict):
        return {
            _plain_key(key, where): plain_copy(item, f"{where}[{key!r}]", depth + 1, stored=stored)
            for key, item in value.items()
        }
    if type(value) is list:
        return [plain_copy(item, f"{where}[{i}]", depth + 1, stored=stored) for i, item in enumerate(value)]
    raise TypeError(f"{where} is a {_type_name(value)}, which is not plain content; {_advice(value)}")


def _plain_key(key: Any, where: str) -> str | int:
    if type(key) is str or type(key) is int:
        return key
    raise TypeError(f"{where} has the key {key!r} of type {_type_name(key)}; keys must be str or int")


def _plain_tensor(tensor: Tensor, where: str) -> Tensor:
    if type(tensor) not in (Tensor, nn.Parameter):
        raise TypeError(f"{where} is a {_type_name(tensor)}; store a plain torch.Tensor")
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        raise TypeError(
            f"{where} is a tensor of layout {tensor.layout}, dtype {tensor.dtype} on {tensor.device}; "
            "store a dense tensor that has its data"
        )
    return tensor.detach()


def _own_storage(tensor: Tensor) -> Tensor:
    """``tensor`` if its storage is as large as itself (so tied weights stay tied), else a full copy."""
    if tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size():
        return tensor
    return tensor.clone()


def _as_stored(tensor: Tensor, where: str) -> Tensor:
    described, held = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
    if held < described:
        raise TypeError(
            f"{where} is a tensor of shape {list(tensor.shape)}, {described:,} bytes, for which the file "
            f"stores {held:,}; it was not written by this package"
        )
    return tensor


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _advice(value: object) -> str:
    advice = _ADVICE.get(type(value).__name__)
    if advice:
        return advice
    if isinstance(value, int | float | str):
        return "convert it with int(...), float(...) or str(...)"
    return "store tensors, numbers, strings, booleans, None, lists and dicts only"
