"""The windows on which forecasters are judged."""

from dataclasses import dataclass, replace

import numpy as np

from examples.trajectory_3d.arrays import FloatArray, IntArray

MIXED = "mixed"  # the group of all windows


@dataclass(frozen=True)
class EvaluationSet:
    """Windows to forecast and their true continuation.

    Attributes:
        context: observed points, [N, L, 3] metres.
        targets: true continuation, [N, H, 3] metres.
        type_ids: index into `type_names` of each window, [N].
        type_names: names of the motion types; a type without windows is reported as absent.
        dt: seconds between points.
        unit: of positions: a length's short name; ``unknown`` for recordings that do not say. What is called
            metres elsewhere is this unit.

    Raises:
        ValueError: when the arrays do not belong together or hold a position that is not finite.
    """

    context: FloatArray
    targets: FloatArray
    type_ids: IntArray
    type_names: tuple[str, ...]
    dt: float
    unit: str = "m"

    def __post_init__(self) -> None:
        count = len(self.context)
        for name, values in (("context", self.context), ("targets", self.targets)):
            if values.ndim != 3 or values.shape[-1] != 3 or values.shape[1] < 1:
                raise ValueError(
                    f"EvaluationSet.{name} must have shape [N, points, 3], got {list(values.shape)}"
                )
            if not np.isfinite(values).all():
                window = int(np.argwhere(~np.isfinite(values))[0][0])
                raise ValueError(
                    f"EvaluationSet.{name} holds a position that is not finite in window {window}"
                )
        if count == 0 or len(self.targets) != count or self.type_ids.shape != (count,):
            raise ValueError(
                f"EvaluationSet needs a target and a type for each of N >= 1 windows, got {count} contexts, "
                f"{len(self.targets)} targets and type_ids of shape {list(self.type_ids.shape)}"
            )
        self._check_types()
        if not (np.isfinite(self.dt) and self.dt > 0):
            raise ValueError(f"EvaluationSet.dt must be a positive number of seconds, got {self.dt}")

    def _check_types(self) -> None:
        low, high = int(self.type_ids.min()), int(self.type_ids.max())
        if low < 0 or high >= len(self.type_names):
            raise ValueError(
                f"EvaluationSet.type_ids range from {low} to {high}, "
                f"but there are {len(self.type_names)} type_names: {list(self.type_names)}"
            )
        if len(set(self.type_names)) != len(self.type_names) or MIXED in self.type_names:
            raise ValueError(
                f"EvaluationSet.type_names must differ and not be {MIXED!r}, got {list(self.type_names)}"
            )

    @property
    def horizon(self) -> int:
        """Number of forecast steps H."""
        return int(self.targets.shape[1])

    def select(self, windows: IntArray) -> "EvaluationSet":
        """Return some of the windows, at least one, in the order given."""
        return replace(
            self,
            context=self.context[windows],
            targets=self.targets[windows],
            type_ids=self.type_ids[windows],
        )

    def groups(self) -> dict[str, IntArray]:
        """Window numbers of every type that has any, in order of `type_names`, then of all windows."""
        members = {name: np.flatnonzero(self.type_ids == i) for i, name in enumerate(self.type_names)}
        present: dict[str, IntArray] = {name: windows for name, windows in members.items() if len(windows)}
        present[MIXED] = np.arange(len(self.context))
        return present
