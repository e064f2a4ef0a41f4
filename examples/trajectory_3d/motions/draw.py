"""Random draws shared by the motion types, with checked ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from examples.trajectory_3d.motions.registry import FloatArray


def check_range(
    option: str, bounds: Sequence[float], *, minimum: float = -math.inf, below: float = math.inf
) -> tuple[float, float]:
    """Read an option as (low, high) with minimum <= low <= high < below.

    Raises:
        ValueError: naming the option, the value and what was expected.
    """
    expected = f"option {option!r} must be two finite numbers (low, high) with low <= high"
    if minimum > -math.inf:
        expected += f", low >= {minimum:g}"
    if below < math.inf:
        expected += f", high < {below:g}"
    try:
        low, high = (float(value) for value in bounds)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{expected}; got {bounds!r}") from error
    if not (math.isfinite(low) and math.isfinite(high) and minimum <= low <= high < below):
        raise ValueError(f"{expected}; got {bounds!r}")
    return low, high


def check_scalar(option: str, value: float, *, positive: bool = True) -> float:
    """Read an option as one finite number, positive or (``positive=False``) not negative.

    Raises:
        ValueError: naming the option and the value.
    """
    kind = "positive" if positive else "non-negative"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value < 0 or (positive and value == 0):
        raise ValueError(f"option {option!r} must be a {kind} finite number; got {value!r}")
    return float(value)


def check_flag(option: str, value: bool) -> bool:
    """Read an option as true or false.

    Raises:
        ValueError: naming the option and the value.
    """
    if not isinstance(value, bool):
        raise ValueError(f"option {option!r} must be true or false; got {value!r}")
    return value


def uniform(
    rng: np.random.Generator,
    option: str,
    bounds: Sequence[float],
    shape: int | tuple[int, ...],
    *,
    minimum: float = -math.inf,
    below: float = math.inf,
) -> FloatArray:
    """Draw an option uniformly from its checked (low, high) range."""
    low, high = check_range(option, bounds, minimum=minimum, below=below)
    return rng.uniform(low, high, size=shape)


def phases(rng: np.random.Generator, shape: int | tuple[int, ...]) -> FloatArray:
    """Draw angles uniformly from [0, 2 pi)."""
    return rng.uniform(0.0, 2.0 * np.pi, size=shape)


def window_starts(rng: np.random.Generator, available: FloatArray | float, count: int) -> FloatArray:
    """Draw where windows begin inside longer motions, uniform in [0, max(available, 0)] seconds."""
    return rng.uniform(size=count) * np.maximum(available, 0.0)


def random_frames(rng: np.random.Generator, count: int) -> FloatArray:
    """Draw uniformly distributed right-handed frames.

    Unit quaternions from normalised Gaussians are uniform on the rotation group (K. Shoemake,
    "Uniform random rotations", Graphics Gems III, 1992).

    Returns:
        [count, 3, 3]: row i of a frame is its i-th unit vector.
    """
    q = rng.standard_normal((count, 4))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    w, x, y, z = q.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.ascontiguousarray(np.moveaxis(np.array(rows), 2, 0))


def along_frame(components: Sequence[FloatArray], frames: FloatArray) -> FloatArray:
    """Sum components times frame vectors.

    Axis by axis rather than by a matrix product: loops stay long, and the result does not
    depend on how many threads a linear-algebra library uses.

    Args:
        components: K arrays [N, T].
        frames: [N, K, 3] vectors.

    Returns:
        [N, T, 3].
    """
    count, length = components[0].shape
    result = np.empty((count, length, 3))
    for axis in range(3):
        total = components[0] * frames[:, 0, axis, None]  # [N, T]
        for k, component in enumerate(components[1:], start=1):
            total += component * frames[:, k, axis, None]
        result[:, :, axis] = total
    return result
