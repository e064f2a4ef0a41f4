"""Random orders that are computed place by place, so that no order is ever held in memory or replayed.

A Feistel network is a bijection of pairs of half words whatever its round function is (M. Luby, C. Rackoff,
SIAM J. Comput. 17, 1988); places that it sends beyond the size are sent on until they come back, which keeps
it a bijection of the places below the size (cycle walking: J. Black, P. Rogaway, CT-RSA 2002).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.arrays import IntArray

_Words: TypeAlias = npt.NDArray[np.uint64]
_ROUNDS = 8
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def permuted(places: IntArray, size: int, seed: int, key: tuple[int, ...]) -> IntArray:
    """Where a random order of ``size`` things has those at ``places``.

    Args:
        places: ``[N]``, from 0 to ``size - 1``.
        size: number of things.
        seed: of the order.
        key: numbers of the order among those of the seed, such as stream and epoch.

    Returns:
        ``[N]`` numbers from 0 to ``size - 1``; all places together give each once.

    Raises:
        ValueError: a place outside the range.
    """
    if len(places) and not (int(places.min()) >= 0 and int(places.max()) < size):
        raise ValueError(f"places must lie from 0 to {size - 1}")
    bits = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    keys = np.random.SeedSequence(seed, spawn_key=key).generate_state(_ROUNDS, np.uint64).astype(np.uint64)
    result = _network(places.astype(np.uint64), bits, keys)
    beyond = np.flatnonzero(result >= size)
    while len(beyond):  # at most three of four values lie beyond, so this ends soon
        result[beyond] = _network(result[beyond], bits, keys)
        beyond = beyond[result[beyond] >= size]
    return result.astype(np.int64)


def _network(values: _Words, bits: int, keys: _Words) -> _Words:
    width, mask = np.uint64(bits), np.uint64((1 << bits) - 1)
    left, right = values >> width, values & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right + key) & mask)
    return (left << width) | right


def _mixed(values: _Words) -> _Words:
    """The finaliser of SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014); sums wrap around."""
    values = (values ^ (values >> np.uint64(30))) * _MIX_1
    values = (values ^ (values >> np.uint64(27))) * _MIX_2
    return values ^ (values >> np.uint64(31))
