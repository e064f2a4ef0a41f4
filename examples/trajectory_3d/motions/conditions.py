"""The conditions a motion is recorded under: how it lies in space, how fast it is sampled, how noisily."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.trajectory_3d.dataset_config import AugmentationConfig, DatasetConfig
from examples.trajectory_3d.motions.draw import along_frame, random_frames
from examples.trajectory_3d.motions.registry import FloatArray


@dataclass(frozen=True)
class Poses:
    """How each of K windows is moved, turned, scaled and played.

    Attributes:
        maps: [K, 3, 3] scale times a rotation, or times a rotation and a reflection; a position
            p becomes p @ maps[k].
        offsets: [K, 3] shifts in sizes of the window's context.
        reversed: [K] whether the window is played backwards.
    """

    maps: FloatArray
    offsets: FloatArray
    reversed: NDArray[np.bool_]

    @classmethod
    def draw(cls, rng: np.random.Generator, config: AugmentationConfig, count: int) -> Poses:
        """Draw the poses of ``count`` windows; every draw is made whatever the settings."""
        frames = random_frames(rng, count)
        mirrors = rng.uniform(size=count) < 0.5
        low, high = config.scale
        scales = np.exp(rng.uniform(math.log(low), math.log(high), size=count))
        offsets = config.shift * rng.standard_normal((count, 3))
        reverses = rng.uniform(size=count) < config.reverse
        if not config.rotate:
            frames[:] = np.eye(3)
        if config.mirror:
            frames[mirrors, 0] *= -1.0  # the mirror is the plane across the first axis, before turning
        return cls(frames * scales[:, None, None], offsets, reverses)

    def apply(self, path: FloatArray, rows: NDArray[np.int64], context_length: int) -> FloatArray:
        """Change paths [N, T, 3] of windows ``rows`` as their poses say.

        The scale and the rotation are about the origin. The unit of the shift is `context_size` of
        the first ``context_length`` points after all the rest.
        """
        flips = self.reversed[rows]
        if flips.any():
            path = np.where(flips[:, None, None], path[:, ::-1], path)
        path = along_frame(tuple(path[:, :, axis] for axis in range(3)), self.maps[rows])
        if self.offsets.any():
            unit = context_size(path[:, :context_length])
            path += self.offsets[rows][:, None] * unit[:, None, None]
        return path


def context_size(context: NDArray[np.floating]) -> FloatArray:
    """Root mean square distance of points [N, L, 3] from their mean, per axis: [N] metres."""
    centred = context.astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    size: FloatArray = np.sqrt(np.einsum("nlk,nlk->n", centred, centred) / (3 * context.shape[1]))
    return size


def noise_shares(rng: np.random.Generator, config: DatasetConfig, count: int) -> FloatArray:
    """Draw standard deviations of the noise of ``count`` windows as shares of their sizes, [count]."""
    low, high = config.noise_fraction or (0.0, 0.0)
    shares: FloatArray = low + (high - low) * rng.uniform(size=count) ** config.noise_skew
    return shares


def draw_rates(rng: np.random.Generator, bounds: tuple[float, float], count: int) -> FloatArray:
    """Draw ``count`` log-uniform factors of the sampling rate.

    One comes from each of ``count`` equal parts of the range, in random order, so that few factors
    cover it.
    """
    share = (rng.permutation(count) + rng.uniform(size=count)) / count
    low, high = (math.log(bound) for bound in bounds)
    factors: FloatArray = np.exp(low + (high - low) * share)
    return factors
