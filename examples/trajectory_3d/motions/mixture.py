"""The mixture of motion types, generated in blocks that depend on their number and seed alone."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.motions.conditions import Poses, context_size, draw_rates, noise_shares
from examples.trajectory_3d.motions.registry import (
    FloatArray,
    MotionFunction,
    check_options,
    get_motion,
    takes_own_times,
)

_TYPES, _NOISE = 0, 1  # streams of a block beside those of the motion types
_POSES, _RATES, _NOISE_LEVELS = (2**32 + 2 + part for part in range(3))  # beyond all checksums of names
_RATE_GROUPS = 8  # sampling rates per block of a motion type that cannot take one for each window


@dataclass(frozen=True)
class MotionBlock:
    """Generated windows.

    Attributes:
        context: [K, L, 3] float32 metres, with noise.
        path: [K, L + H, 3] float32 metres, without.
        type_ids: [K] int64, indices into the configuration's ``type_names``.
    """

    context: NDArray[np.float32]
    path: NDArray[np.float32]
    type_ids: NDArray[np.int64]


class MotionMixture:
    """Generates windows of the configured motion types.

    Every random number of a block comes from ``SeedSequence(seed, spawn_key=(stream, block, part))``,
    where the part is the mixing, the noise, its levels, the poses or one motion type (by a checksum of
    its name). Streams with different keys are independent.

    Args:
        config: what the data looks like.

    Raises:
        ValueError: an unknown motion type or option, or an option value that its motion refuses.
    """

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config
        self.times: FloatArray = np.arange(config.window_length) / config.sampling_rate  # [T] seconds
        self._weights = np.array(list(config.type_weights.values()), dtype=np.float64)
        self._weights /= self._weights.sum()
        self._motions = {name: _configured(name, config) for name in config.type_names}
        for name, motion in self._motions.items():
            _try_out(name, motion, self.times)

    def block(self, seed: int, stream: int, index: int, count: int | None = None) -> MotionBlock:
        """Generate block ``index`` of a stream: ``config.windows_per_block`` windows, or ``count``."""
        count = self.config.windows_per_block if count is None else count
        key = (stream, index)
        mixing = _generator(seed, *key, _TYPES)
        type_ids = mixing.choice(len(self._weights), size=count, p=self._weights).astype(np.int64)
        path = np.empty((count, len(self.times), 3), dtype=np.float32)
        poses = self._draw_poses(seed, key, count)
        for type_id, name in enumerate(self._motions):
            rows = np.flatnonzero(type_ids == type_id)
            if len(rows):
                drawn = self._draw(name, len(rows), seed, key)
                path[rows] = drawn if poses is None else poses.apply(drawn, rows, self.config.sequence_length)
        context = self._observe(path, seed, key)
        return MotionBlock(context=context, path=path, type_ids=type_ids)

    def windows_of_type(self, name: str, count: int, seed: int, stream: int) -> MotionBlock:
        """Generate ``count`` windows of one type, with ``type_ids`` all zero."""
        drawn = self._draw(name, count, seed, (stream, 0))
        key = (stream, _part(name))
        poses = self._draw_poses(seed, key, count)
        if poses is not None:
            drawn = poses.apply(drawn, np.arange(count), self.config.sequence_length)
        path = drawn.astype(np.float32)
        context = self._observe(path, seed, key)
        return MotionBlock(context=context, path=path, type_ids=np.zeros(count, dtype=np.int64))

    def _draw(self, name: str, count: int, seed: int, key: tuple[int, int]) -> FloatArray:
        """Draw [count, T, 3] paths of one type, at varied sampling rates if so configured."""
        motion, part = self._motions[name], _part(name)
        rng = _generator(seed, *key, part)
        bounds = self.config.rate_factor
        if bounds is None:
            return motion(rng, count, self.times)
        rating = _generator(seed, *key, part, _RATES)
        if takes_own_times(name):
            factors = draw_rates(rating, bounds, count)
            return motion(rng, count, self.times / factors[:, None])
        path = np.empty((count, len(self.times), 3))
        for group, factor in enumerate(draw_rates(rating, bounds, _RATE_GROUPS)):
            taken = path[group::_RATE_GROUPS]
            if len(taken):
                taken[...] = motion(rng, len(taken), self.times / factor)
        return path

    def _draw_poses(self, seed: int, key: tuple[int, int], count: int) -> Poses | None:
        if self.config.augmentation is None:
            return None
        return Poses.draw(_generator(seed, *key, _POSES), self.config.augmentation, count)

    def _observe(self, path: NDArray[np.float32], seed: int, key: tuple[int, int]) -> NDArray[np.float32]:
        """The context as measured: the first L points with Gaussian noise."""
        clean = path[:, : self.config.sequence_length]
        noise = _generator(seed, *key, _NOISE).standard_normal(clean.shape, dtype=np.float32)
        noise *= self._noise_levels(clean, seed, key)
        noise += clean
        return noise

    def _noise_levels(
        self, clean: NDArray[np.float32], seed: int, key: tuple[int, int]
    ) -> NDArray[np.float32] | np.float32:
        """Standard deviation of the noise in metres: one for all windows, or [K, 1, 1]."""
        if self.config.noise_fraction is None:
            return np.float32(self.config.noise_std)
        shares = noise_shares(_generator(seed, *key, _NOISE_LEVELS), self.config, len(clean))
        levels = np.hypot(self.config.noise_std, shares * context_size(clean))
        return levels.astype(np.float32)[:, None, None]


def _configured(name: str, config: DatasetConfig) -> MotionFunction:
    motion = get_motion(name)
    options = config.motion_options.get(name, {})
    check_options(name, options)
    return partial(motion, **options)


def _try_out(name: str, motion: MotionFunction, times: FloatArray) -> None:
    """Draw one window, so that bad option values and wrong shapes show before training starts."""
    try:
        path = motion(np.random.default_rng(0), 1, times)
    except (ValueError, FloatingPointError) as error:
        raise ValueError(f"motion type {name!r}: {error}") from error
    expected = (1, len(times), 3)
    if path.shape != expected:
        raise ValueError(f"motion type {name!r} must return [count, T, 3] = {expected}, got {path.shape}")
    if not np.isfinite(path).all():
        raise ValueError(f"motion type {name!r} returned positions that are not finite; check its options")


def _part(name: str) -> int:
    return zlib.crc32(name.encode()) + 2  # clear of the mixing and noise streams


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=key)))
