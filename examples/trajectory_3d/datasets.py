"""Endless, reproducible batches of 3-D motion, synthetic or recorded.

Each split is one fixed, infinite sequence of windows: window k depends on the seed, the split
and k, and on nothing else. A batch of size B is the next B windows of that sequence. Batch size,
number of ranks, worker processes and interruptions change how the sequence is cut and who
computes it, never what it holds.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count as count_from
from itertools import islice
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.motions.mixture import MotionBlock, MotionMixture
from examples.trajectory_3d.recorded.blocks import Blocks, MixedBlocks, RecordedBlocks, as_recorded
from examples.trajectory_3d.recorded.opening import open_recordings, windows_or_refuse

Split = Literal["train", "validation", "test"]

_STREAMS: dict[str, int] = {"train": 0, "validation": 1, "test": 2}
_SINGLE_TYPE_STREAM = 3  # of `generate_motion`, apart from every split


@dataclass(frozen=True)
class TrajectoryBatch:
    """A batch of windows: what is seen and what really happened.

    Attributes:
        context: [B, L, 3] float32 metres, with measurement noise.
        path: [B, L + H, 3] float32 metres, without noise; its first L points are the true
            positions behind the context. Of recordings nobody knows the truth: path and context hold the same
            measured points, in the unit of `WindowStore.facts`, counted from the last point of the context.
        type_ids: [B] int64 indices into ``type_names``.
        type_names: the motion types, then the groups of recordings.
    """

    context: Tensor
    path: Tensor
    type_ids: Tensor
    type_names: tuple[str, ...]

    @property
    def targets(self) -> Tensor:
        """The true continuation, [B, H, 3]."""
        return self.path[:, self.context.shape[1] :]

    @property
    def clean_context(self) -> Tensor:
        """The true positions behind the context, [B, L, 3]."""
        return self.path[:, : self.context.shape[1]]

    @property
    def num_sequences(self) -> int:
        """Windows in the batch, B."""
        return self.context.shape[0]

    @property
    def num_tokens(self) -> int:
        """Context points in the batch, B x L."""
        return self.context.shape[0] * self.context.shape[1]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> TrajectoryBatch:
        """The same batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TrajectoryBatch:
        """The same batch in page-locked memory, for faster copies to a GPU."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, function: Callable[[Tensor], Tensor]) -> TrajectoryBatch:
        return replace(
            self,
            context=function(self.context),
            path=function(self.path),
            type_ids=function(self.type_ids),
        )


@dataclass(frozen=True)
class StreamCut:
    """How a stream of windows, made in blocks, is cut into one rank's batches.

    The n-th batch of rank r of R is batch r + n R of the stream, and batch i holds the windows
    i B to (i + 1) B - 1.

    Attributes:
        batch_size: windows in a batch, B.
        windows_per_block: windows in a block.
        rank: r, from 0.
        world_size: R.

    Raises:
        ValueError: a value is out of range.
    """

    batch_size: int
    windows_per_block: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        for name in ("batch_size", "windows_per_block", "world_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank must lie in 0..{self.world_size - 1} (world_size - 1), got {self.rank}")

    def pieces(self, index: int) -> Iterator[tuple[int, slice]]:
        """Blocks, and rows in each, that make up this rank's batch ``index``, in order."""
        first = (self.rank + index * self.world_size) * self.batch_size
        last = first + self.batch_size
        while first < last:
            block, row = divmod(first, self.windows_per_block)
            end = min(row + last - first, self.windows_per_block)
            yield block, slice(row, end)
            first += end - row

    def blocks(self, start_batch: int) -> Iterator[int]:
        """The blocks needed from ``start_batch`` on, each once, in order, without end."""
        previous = -1
        for index in count_from(start_batch):
            for block, _ in self.pieces(index):
                if block != previous:
                    yield block
                    previous = block


class TrajectoryDataset(IterableDataset[TrajectoryBatch]):
    """The endless batches of one split.

    Iterate over it directly, or give it to ``DataLoader(dataset, batch_size=None,
    num_workers=...)``: worker w of W computes batches w, w + W, ..., which the loader delivers in
    order. Each worker then generates every block it takes batches from; `stream_batches` shares
    out whole blocks instead, and is what training should use.

    Args:
        config: what the data looks like.
        split: which of the three disjoint streams.
        batch_size: windows in a batch.
        start_batch: how many of this rank's batches to leave out; resuming at batch n gives
            the same batches as running up to n.
        rank: this process among ``world_size``; it gets batches rank, rank + world_size, ...
        world_size: processes that share the stream.
        seed: instead of ``config.seed``.

    Raises:
        ValueError: unknown split, motion type or option, recordings that cannot be read or give no window,
            or a number out of range.
    """

    def __init__(
        self,
        config: DatasetConfig,
        *,
        split: Split,
        batch_size: int,
        start_batch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if start_batch < 0:
            raise ValueError(f"start_batch must not be negative, got {start_batch}")
        self.config = config
        self.type_names = type_names(config)
        self.cut = StreamCut(batch_size, config.windows_per_block, rank, world_size)
        self.start_batch = start_batch
        self._blocks = _open_blocks(config, split, config.seed if seed is None else seed)

    def __iter__(self) -> Iterator[TrajectoryBatch]:
        """The batches from ``start_batch`` on; in a loader's worker, that worker's share of them."""
        worker = get_worker_info()
        offset, stride = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        indices = count_from(self.start_batch + offset, stride)
        return _assemble(self.cut, indices, _remember_last(self._blocks.make), self.type_names)


def stream_batches(
    config: DatasetConfig,
    *,
    split: Split,
    batch_size: int,
    start_batch: int = 0,
    rank: int = 0,
    world_size: int = 1,
    seed: int | None = None,
    num_workers: int | None = None,
) -> Iterator[TrajectoryBatch]:
    """The batches of `TrajectoryDataset`, generated by worker processes without repeated work.

    Workers make whole blocks, one after the other in turn, and this process cuts them into
    batches, so W workers generate W times as fast.

    Args:
        config: what the data looks like.
        split: which of the three disjoint streams.
        batch_size: windows in a batch.
        start_batch: how many of this rank's batches to leave out.
        rank: this process among ``world_size``.
        world_size: processes that share the stream.
        seed: instead of ``config.seed``.
        num_workers: instead of ``config.num_workers``; 0 generates in this process.

    Raises:
        ValueError: unknown split, motion type or option, or a number out of range.
    """
    dataset = TrajectoryDataset(
        config,
        split=split,
        batch_size=batch_size,
        start_batch=start_batch,
        rank=rank,
        world_size=world_size,
        seed=seed,
    )
    workers = config.num_workers if num_workers is None else num_workers
    if workers < 0:
        raise ValueError(f"num_workers must not be negative, got {workers}")
    if workers == 0:
        return iter(dataset)
    needed = _NeededBlocks(dataset._blocks, dataset.cut, start_batch)
    loader = DataLoader(
        needed,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=2,
        worker_init_fn=_leave_interrupts_to_parent,
        generator=torch.Generator(),  # else opening a loader advances the global random state
    )
    take = _remember_last(_expect_next(iter(loader)))
    return _assemble(dataset.cut, count_from(start_batch), take, dataset.type_names)


def type_names(config: DatasetConfig) -> tuple[str, ...]:
    """What windows can be of, in the order that numbers it: motion types, then groups of recordings.

    Raises:
        ValueError: recordings that cannot be read.
    """
    if config.recordings is None:
        return config.type_names
    return (*config.type_names, *open_recordings(config).facts.groups)


def fixed_set(config: DatasetConfig, split: Split, count: int, seed: int | None = None) -> TrajectoryBatch:
    """At most ``count`` windows of a split, for evaluation.

    Of synthetic motion they are the first of the stream. Of recordings they lie evenly over the time of each
    group, as many of each; there may be fewer than asked for.

    Raises:
        ValueError: unknown split, motion type or option, recordings that cannot be read or give no window,
            or ``count`` below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if config.recordings is None:
        return next(iter(TrajectoryDataset(config, split=split, batch_size=count, seed=seed)))
    _check_split(split)
    store = windows_or_refuse(open_recordings(config), split, config)
    recorded = count if config.source == "files" else max(1, round(count * config.files_weight))
    parts = []
    if count > recorded:
        synthetic = fixed_set(replace(config, source="motions", paths=()), split, count - recorded, seed)
        parts.append(
            MotionBlock(synthetic.context.numpy(), synthetic.path.numpy(), synthetic.type_ids.numpy())
        )
    windows = store.spread(split, recorded)
    parts.append(as_recorded(windows, config.sequence_length, len(config.type_names)))
    return _join(parts, type_names(config))


def generate_motion(name: str, count: int, config: DatasetConfig, seed: int | None = None) -> TrajectoryBatch:
    """Draw ``count`` windows of one motion type, for pictures and studies.

    They come from a stream of their own, apart from every split. ``type_names`` is that of the
    configuration, with ``name`` added where it is missing.

    Raises:
        ValueError: unknown motion type or option, or ``count`` below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    options = {name: config.motion_options[name]} if name in config.motion_options else {}
    alone = replace(config, type_weights={name: 1.0}, motion_options=options)
    mixture = MotionMixture(alone)
    stream_seed = config.seed if seed is None else seed
    windows = mixture.windows_of_type(name, count, stream_seed, _SINGLE_TYPE_STREAM)
    names = config.type_names if name in config.type_names else (*config.type_names, name)
    type_ids = np.full(count, names.index(name), dtype=np.int64)
    return _join([replace(windows, type_ids=type_ids)], names)


def _check_split(split: str) -> None:
    if split not in _STREAMS:
        raise ValueError(f"unknown split {split!r}; choose one of {', '.join(_STREAMS)}")


def _open_blocks(config: DatasetConfig, split: Split, seed: int) -> Blocks:
    """What makes the numbered blocks of one split."""
    _check_split(split)
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    stream = _STREAMS[split]
    if config.recordings is None:
        return _MotionBlocks(MotionMixture(config), stream, seed)
    store = windows_or_refuse(open_recordings(config), split, config)
    recorded = RecordedBlocks(store, config, split, seed, first_type=len(config.type_names))
    if config.source == "files":
        return recorded
    return MixedBlocks(MotionMixture(config), recorded, config, stream, seed)


class _MotionBlocks:
    """Blocks of synthetic motion."""

    def __init__(self, mixture: MotionMixture, stream: int, seed: int) -> None:
        self._mixture, self._stream, self._seed = mixture, stream, seed

    def make(self, index: int) -> MotionBlock:
        return self._mixture.block(self._seed, self._stream, index)


class _NeededBlocks(IterableDataset[tuple[int, Tensor, Tensor, Tensor]]):
    """Numbered blocks as tensors, which pass between processes through shared memory."""

    def __init__(self, blocks: Blocks, cut: StreamCut, start_batch: int) -> None:
        super().__init__()
        self._blocks, self._cut, self._start_batch = blocks, cut, start_batch

    def __iter__(self) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
        worker = get_worker_info()
        offset, stride = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        for index in islice(self._cut.blocks(self._start_batch), offset, None, stride):
            block = self._blocks.make(index)
            yield (
                index,
                torch.from_numpy(block.context),
                torch.from_numpy(block.path),
                torch.from_numpy(block.type_ids),
            )


def _leave_interrupts_to_parent(worker_id: int) -> None:  # noqa: ARG001
    """Let Ctrl-C reach the main process alone, which decides when the workers stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _expect_next(source: Iterator[tuple[int, Tensor, Tensor, Tensor]]) -> Callable[[int], MotionBlock]:
    """Take blocks by number from a source that delivers exactly the needed ones in order."""

    def take(index: int) -> MotionBlock:
        delivered, context, path, type_ids = next(source)
        if delivered != index:
            raise RuntimeError(f"data workers delivered block {delivered} where block {index} was due")
        return MotionBlock(context=context.numpy(), path=path.numpy(), type_ids=type_ids.numpy())

    return take


def _remember_last(make: Callable[[int], MotionBlock]) -> Callable[[int], MotionBlock]:
    """Keep the current block, from which most batches take all their windows."""
    kept: dict[int, MotionBlock] = {}

    def get(index: int) -> MotionBlock:
        if index not in kept:
            block = make(index)
            kept.clear()
            kept[index] = block
        return kept[index]

    return get


def _assemble(
    cut: StreamCut, indices: Iterator[int], get_block: Callable[[int], MotionBlock], names: tuple[str, ...]
) -> Iterator[TrajectoryBatch]:
    for index in indices:
        parts = []
        for block_index, rows in cut.pieces(index):
            block = get_block(block_index)
            parts.append(MotionBlock(block.context[rows], block.path[rows], block.type_ids[rows]))
        yield _join(parts, names)


def _join(parts: list[MotionBlock], names: tuple[str, ...]) -> TrajectoryBatch:
    """Copy windows into a batch of their own, so that no batch keeps a whole block alive."""
    return TrajectoryBatch(
        context=torch.from_numpy(np.concatenate([part.context for part in parts])),
        path=torch.from_numpy(np.concatenate([part.path for part in parts])),
        type_ids=torch.from_numpy(np.concatenate([part.type_ids for part in parts])),
        type_names=names,
    )
