"""The array that users hand in and get back. Imports no torch: serving an exported model needs none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
