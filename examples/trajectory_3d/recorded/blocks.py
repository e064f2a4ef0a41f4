"""Numbered blocks of recorded windows, and of recorded and synthetic ones together."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.motions.conditions import Poses, context_size, noise_shares
from examples.trajectory_3d.motions.mixture import MotionBlock, MotionMixture
from examples.trajectory_3d.recorded.parts import Part
from examples.trajectory_3d.recorded.store import RecordedWindows, WindowStore, part_key

# Streams of a block beside those of synthetic motion, whose numbers are smaller.
_POSES, _NOISE, _NOISE_LEVELS, _ORDER = (2**33 + part for part in range(4))


class Blocks(Protocol):
    """Makes the numbered blocks of a stream; a block depends on its number alone."""

    def make(self, index: int) -> MotionBlock:
        """Block ``index``."""
        ...


class RecordedBlocks:
    """Blocks of the endless shuffled stream of a part's windows.

    Training windows are changed as ``dataset.augmentation`` says, and their contexts get the noise of
    ``dataset.noise_fraction``; the path to forecast stays as measured. Other parts come as recorded.

    Args:
        store: the recordings.
        config: augmentation, noise and size of blocks.
        part: whose windows.
        seed: of the order, the augmentation and the noise.
        first_type: number of the first group among all types.
    """

    def __init__(
        self, store: WindowStore, config: DatasetConfig, part: Part, seed: int, *, first_type: int = 0
    ) -> None:
        self._store = store
        self._config = config
        self._part = part
        self._seed = seed
        self._first_type = first_type

    def make(self, index: int) -> MotionBlock:
        """Block ``index``: as many windows as ``dataset.windows_per_block``, in order of the stream."""
        size = self._config.windows_per_block
        return self.stretch(index, index * size, size)

    def stretch(self, index: int, first: int, count: int) -> MotionBlock:
        """Windows ``first`` to ``first + count - 1``, with the random numbers of block ``index``."""
        windows = self._store.shuffled(self._part, self._seed, first, count)
        if self._part != "train":
            return as_recorded(windows, self._config.sequence_length, self._first_type)
        observed, augmentation = self._config.sequence_length, self._config.augmentation
        points = windows.points
        if augmentation is not None:
            poses = Poses.draw(self._generator(index, _POSES), augmentation, count)
            points = poses.apply(points, np.arange(count), observed)
        changed = as_recorded(RecordedWindows(points, windows.groups), observed, self._first_type)
        self._add_noise(changed, index)
        return changed

    def _add_noise(self, block: MotionBlock, index: int) -> None:
        if self._config.noise_fraction is None:
            return
        shares = noise_shares(self._generator(index, _NOISE_LEVELS), self._config, len(block.context))
        noise = self._generator(index, _NOISE).standard_normal(block.context.shape, dtype=np.float32)
        noise *= (shares * context_size(block.context)).astype(np.float32)[:, None, None]
        block.context[...] += noise

    def _generator(self, index: int, stream: int) -> np.random.Generator:
        key = (part_key(self._part), index, stream)
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence(self._seed, spawn_key=key)))


class MixedBlocks:
    """Blocks of synthetic and recorded windows, in random order.

    Of the first n blocks together, ``dataset.files_weight`` of the windows are recorded, to within one
    window, so the place of a block in the stream of recordings is computed from its number.

    Args:
        mixture: of synthetic motion.
        recorded: blocks of recordings.
        config: the share and the size of blocks.
        stream: number of the synthetic stream.
        seed: of both.
    """

    def __init__(
        self, mixture: MotionMixture, recorded: RecordedBlocks, config: DatasetConfig, stream: int, seed: int
    ) -> None:
        self._mixture = mixture
        self._recorded = recorded
        self._config = config
        self._stream = stream
        self._seed = seed

    def make(self, index: int) -> MotionBlock:
        """Block ``index``."""
        size = self._config.windows_per_block
        first, end = (int(number * size * self._config.files_weight) for number in (index, index + 1))
        parts = []
        if end > first:
            parts.append(self._recorded.stretch(index, first, end - first))
        if end - first < size:
            parts.append(self._mixture.block(self._seed, self._stream, index, size - (end - first)))
        key = np.random.SeedSequence(self._seed, spawn_key=(self._stream, index, _ORDER))
        order = np.random.Generator(np.random.SFC64(key)).permutation(size)
        return MotionBlock(
            context=np.concatenate([part.context for part in parts])[order],
            path=np.concatenate([part.path for part in parts])[order],
            type_ids=np.concatenate([part.type_ids for part in parts])[order],
        )


def as_recorded(windows: RecordedWindows, observed: int, first_type: int) -> MotionBlock:
    """Windows as a block: context and path are the same measured points."""
    path = windows.points.astype(np.float32)
    return MotionBlock(path[:, :observed].copy(), path, windows.groups.astype(np.int64) + first_type)
