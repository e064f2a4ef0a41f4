"""MATLAB's files of versions 5 to 7, read without trust: what is damaged is said, and never crashes.

SciPy reads such files too, but its compiled reader ends the process on some damaged ones.
Source: MAT-File Format, The MathWorks, chapter 1 (Level 5),
https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Value: TypeAlias = "npt.NDArray[Any] | list[Value] | dict[str, Value] | None"

_HEADER = 128
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT = 1, 2
_NUMERIC = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX = 0x08
_MOST_BYTES = 1 << 31  # of one variable, so that a small file cannot fill the memory
_MOST_DEPTH = 20  # of cells in structures in cells


@dataclass(frozen=True)
class _Element:
    kind: int
    data: memoryview


def load_mat5(content: bytes) -> dict[str, Value]:
    """Variables by name: arrays of numbers, lists for cell arrays (columns first), dicts for structures.

    Texts, sparse matrices, objects and arrays of structures are None.

    Raises:
        ValueError: content that is cut off or contradicts itself; says what.
    """
    mark = content[126:128]
    if len(content) < _HEADER or mark not in {b"IM", b"MI"}:
        raise ValueError("no header of version 5")
    order = "<" if mark == b"IM" else ">"
    variables: dict[str, Value] = {}
    for element in _elements(memoryview(content)[_HEADER:], order):
        if element.kind == _COMPRESSED:
            unpacked = memoryview(_unpacked(element.data))
            inner = list(_elements(unpacked, order))
        else:
            inner = [element]
        for each in inner:
            if each.kind == _MATRIX:
                name, value = _matrix(each.data, order, 0)
                variables[name] = value
    return variables


def _unpacked(data: memoryview) -> bytes:
    try:
        unpacker = zlib.decompressobj()
        unpacked = unpacker.decompress(data, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"a compressed variable that is damaged ({error})") from error
    if not unpacker.eof:
        raise ValueError("a compressed variable that is cut off or too large")
    return unpacked


def _elements(data: memoryview, order: str) -> Iterator[_Element]:
    """Data elements one after the other, each with its tag taken off."""
    place = 0
    while place + 8 <= len(data):
        (first,) = struct.unpack_from(order + "I", data, place)
        if first >> 16:  # four bytes at most lie in the tag itself
            size, kind, start = first >> 16, first & 0xFFFF, place + 4
            if size > 4:
                raise ValueError("a small data element of more than four bytes")
            after = place + 8
        else:
            kind, start = first, place + 8
            (size,) = struct.unpack_from(order + "I", data, place + 4)
            after = start + size
            if kind != _COMPRESSED:
                after += -size % 8
        if start + size > len(data):
            raise ValueError("a data element that goes beyond the end")
        yield _Element(kind, data[start : start + size])
        place = after


def _matrix(data: memoryview, order: str, depth: int) -> tuple[str, Value]:
    """Name and value of an array; None for one of a kind that holds no numbers."""
    if not len(data):
        return "", np.empty((0, 0))
    if depth > _MOST_DEPTH:
        raise ValueError("cells nested too deeply")
    parts = list(_elements(data, order))
    if len(parts) < 3:
        raise ValueError("an array without flags, dimensions and name")
    flags = _numbers(parts[0], order)
    shape = tuple(int(each) for each in _numbers(parts[1], order))
    name = bytes(parts[2].data).rstrip(b"\0").decode("latin-1")
    if not len(flags) or len(shape) < 2 or min(shape) < 0:
        raise ValueError(f"an array '{name}' of impossible shape")
    kind, count = int(flags[0]) & 0xFF, prod(shape)
    if kind == _CELL:
        cells = [_matrix(each.data, order, depth + 1)[1] for each in parts[3:] if each.kind == _MATRIX]
        if len(cells) != count:
            raise ValueError(f"{len(cells)} cells of {count} in '{name}'")
        return name, cells
    if kind == _STRUCT:
        return name, _structure(parts[3:], count, order, depth)
    if kind not in _NUMERIC or int(flags[0]) >> 8 & _COMPLEX or len(parts) < 4:
        return name, None
    values = _numbers(parts[3], order)
    if len(values) != count:
        raise ValueError(f"{len(values)} numbers of {count} in '{name}'")
    return name, values.astype(_NUMERIC[kind]).reshape(shape, order="F")


def _structure(parts: list[_Element], count: int, order: str, depth: int) -> Value:
    """Fields of a single structure; arrays of structures are None."""
    if len(parts) < 2 or not len(parts[0].data):
        raise ValueError("a structure without names of fields")
    length = int(_numbers(parts[0], order)[0])
    texts = bytes(parts[1].data)
    if length <= 0 or len(texts) % length:
        raise ValueError("a structure whose names of fields do not fit")
    if count != 1:
        return None
    names = [texts[i : i + length].split(b"\0")[0].decode("latin-1") for i in range(0, len(texts), length)]
    values = [_matrix(each.data, order, depth + 1)[1] for each in parts[2:] if each.kind == _MATRIX]
    if len(values) != len(names):
        raise ValueError(f"{len(values)} fields of {len(names)} in a structure")
    return dict(zip(names, values, strict=True))


def _numbers(element: _Element, order: str) -> npt.NDArray[Any]:
    if element.kind not in _TYPES:
        raise ValueError(f"numbers of unknown type {element.kind}")
    dtype = np.dtype(order + _TYPES[element.kind])
    if len(element.data) % dtype.itemsize:
        raise ValueError("numbers that are cut off")
    return np.frombuffer(element.data, dtype=dtype)
