"""Contexts that were read before: blocks of points and what the model made of them.

A block is found by a hash of all points up to its end, chained from block to block, so that equal blocks
after different pasts are different blocks. Points are compared by the exact bytes that the model sees:
float32 (or the model's own type), anchored. Hashes begin with the weights, the anchor and the grid of
tokens; whatever differs in one of these finds nothing. (vLLM's automatic prefix caching hashes blocks so.)
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from m.attention.cache import KVCache
from m.generation.past import Past, Routes
from m.moe.anchor import Anchor
from m.moe.model import MoESequenceRegressor

_LEAST_BLOCK = 16  # points
_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Grid:
    """Where tokens lie: every so many points, counted back from the last one.

    Attributes:
        every: points between tokens.
        first: position of the first.
    """

    every: int
    first: int

    @classmethod
    def of(cls, length: int, every: int) -> Grid:
        """The grid of a context of ``length`` points."""
        return cls(every, (length - 1) % every)

    @property
    def block(self) -> int:
        """Points of a block: whole steps of the grid."""
        return self.every * -(-_LEAST_BLOCK // self.every)

    def positions(self, begin: int, end: int) -> Tensor:
        """Its positions from ``begin`` (included) to ``end`` (not included)."""
        ahead = -(-(begin - self.first) // self.every) if begin > self.first else 0
        start = self.first + ahead * self.every
        return torch.arange(start, max(start, end), self.every)


@dataclass(frozen=True)
class _Block:
    """What was read of S points: of the tokens on the grid among them, n in number."""

    points: Tensor  # [S, D]
    layers: tuple[tuple[Tensor, Tensor], ...]  # keys and values, [H_kv, n, head_dim]
    routes: Routes | None  # [n, L, ...]

    @property
    def bytes(self) -> int:
        held = self.points.nbytes + sum(keys.nbytes + values.nbytes for keys, values in self.layers)
        return held + (sum(t.nbytes for t in self.routes.tensors()) if self.routes else 0)


class PrefixCache:
    """Blocks read before, least recently used ones forgotten first. Belongs to the engine's thread.

    Args:
        most_bytes: memory for blocks.
    """

    def __init__(self, most_bytes: int) -> None:
        if most_bytes < 1:
            raise ValueError(f"most_bytes must be at least 1, got {most_bytes}")
        self.most_bytes = most_bytes
        self.bytes = 0
        self._blocks: OrderedDict[bytes, _Block] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def find(
        self, model: MoESequenceRegressor, chain: Sequence[bytes], anchor: Anchor, grid: Grid
    ) -> Past | None:
        """What is known of the first blocks of a context; None when not even the first is.

        Args:
            model: whose blocks they are.
            chain: hashes of the context's blocks.
            anchor: of this context.
            grid: of its tokens.
        """
        found: list[_Block] = []
        for digest in chain:
            block = self._blocks.get(digest)
            if block is None:
                break
            found.append(block)
        if not found:
            return None
        self._touch(chain[: len(found)])
        points = len(found) * grid.block
        cache = model.allocate_cache(1, points)
        known = torch.zeros(points, dtype=torch.bool)
        tokens = grid.positions(0, points)
        known[tokens] = True
        cache.begun = True
        cache.points[0] = torch.cat([block.points for block in found])
        for number, layer in enumerate(cache.layers):
            layer.keys[0][:, tokens] = torch.cat([block.layers[number][0] for block in found], 1)
            layer.values[0][:, tokens] = torch.cat([block.layers[number][1] for block in found], 1)
        return Past(anchor, cache, points, known, _joined([block.routes for block in found], tokens, points))

    def keep(
        self, chain: Sequence[bytes], cache: KVCache, row: int, grid: Grid, routes: Routes | None
    ) -> None:
        """Remember the blocks of a context that has been read.

        Args:
            chain: their hashes.
            cache: that holds them.
            row: of the context in it.
            grid: of its tokens.
            routes: who served them, ``[T', L, ...]`` in the grid's order.
        """
        for number, digest in enumerate(chain):
            if digest not in self._blocks:
                self._add(digest, _extract(cache, row, grid, number, routes))
        self._touch(chain)
        while self.bytes > self.most_bytes:
            _, block = self._blocks.popitem(last=False)
            self.bytes -= block.bytes

    def _add(self, digest: bytes, block: _Block) -> None:
        self._blocks[digest] = block
        self.bytes += block.bytes

    def _touch(self, chain: Sequence[bytes]) -> None:
        """Mark blocks as used, the first ones last: without them the later ones are of no use."""
        for digest in reversed(chain):
            self._blocks.move_to_end(digest)


def _extract(cache: KVCache, row: int, grid: Grid, number: int, routes: Routes | None) -> _Block:
    """The block of that number, copied out of a row."""
    begin, end = number * grid.block, (number + 1) * grid.block
    index = grid.positions(begin, end).to(cache.points.device)
    layers = tuple((layer.keys[row][:, index], layer.values[row][:, index]) for layer in cache.layers)
    first = (int(index[0]) - grid.first) // grid.every
    mine = None
    if routes is not None:
        mine = Routes(*(part.clone() for part in routes.at(slice(first, first + len(index))).tensors()))
    return _Block(cache.points[row, begin:end].clone(), layers, mine)


def _joined(parts: Sequence[Routes | None], tokens: Tensor, points: int) -> Routes | None:
    """Routes of blocks by position."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    held = Routes(*(torch.cat(same) for same in zip(*(part.tensors() for part in known), strict=True)))
    slots = Routes(*(part.new_zeros((points, *part.shape[1:])) for part in held.tensors()))
    slots.put(tokens, held)
    return slots


def weights_digest(model: MoESequenceRegressor) -> bytes:
    """A hash of a model's configuration and weights."""
    state = hashlib.blake2b(repr(model.config).encode(), digest_size=_DIGEST_BYTES)
    for name, value in model.state_dict().items():
        state.update(name.encode())
        state.update(_bytes(value))
    return state.digest()


def anchor_bytes(anchor: Anchor) -> list[bytes]:
    """Each anchor's numbers, as float32: computed beside others, their last digits may differ."""
    parts = [anchor.location.flatten(1), anchor.scale.flatten(1)]
    if anchor.axes is not None:
        parts.append(anchor.axes.flatten(1))
    return [_bytes(row) for row in torch.cat(parts, 1).float()]


def chain_of(salt: bytes, points: Tensor, grid: Grid) -> list[bytes]:
    """Hashes of the whole blocks of a context.

    Args:
        salt: of the weights and of the anchor, see `weights_digest` and `anchor_bytes`.
        points: anchored, ``[T, D]``, as the model sees them.
        grid: of the tokens.
    """
    digest = hashlib.blake2b(salt + f"{grid.every},{grid.first}".encode(), digest_size=_DIGEST_BYTES).digest()
    chain = []
    for begin in range(0, len(points) - grid.block + 1, grid.block):
        block = _bytes(points[begin : begin + grid.block])
        digest = hashlib.blake2b(digest + block, digest_size=_DIGEST_BYTES).digest()
        chain.append(digest)
    return chain


def _bytes(values: Tensor) -> bytes:
    return values.detach().contiguous().cpu().view(-1).view(torch.uint8).numpy().tobytes()
