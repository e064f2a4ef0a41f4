"""Which model a process serves, by what, and on what: known before the model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from m.inference_server.forecast_server import ForecastServer
from m.inference_server.limits import Limits
from m.runtime.manifest import MANIFEST_FILE, Manifest

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A model to serve; another process that sees the same files can make the same server of it.

    Attributes:
        model: what `m.load` takes, or the folder of an exported model, which is served without torch.
        name: what clients call it.
        exported: whether it is an exported model.
        device: as ``--device`` takes it.
        threads: of the processor for the model; None for one a core.
        most_rows: paths that share a step.
    """

    model: str
    name: str
    exported: bool
    device: str
    threads: int | None
    most_rows: int

    @classmethod
    def of(
        cls, model: str, name: str | None, *, device: str, threads: int | None, most_rows: int
    ) -> ModelChoice:
        """The choice, once it is known that there is such a model: what is wrong is told at once.

        Raises:
            ExportedModelError: the exported model is broken.
            CheckpointError: there is no model of that name.
        """
        exported = (Path(model) / MANIFEST_FILE).is_file()
        if exported:
            Manifest.read(Path(model))
            called = name or Path(model).resolve().name
        else:
            from m.inference_server.server import model_name  # noqa: PLC0415  (torch, which need not be there)
            from m.release import locate  # noqa: PLC0415

            locate(model)
            called = name or model_name(model)
        return cls(
            model=model, name=called, exported=exported, device=device, threads=threads, most_rows=most_rows
        )

    def check_device(self) -> None:
        """See whether this machine has the device.

        Raises:
            ValueError: it has not.
        """
        if not self.exported:
            self._device()

    def make(self, limits: Limits) -> ForecastServer:
        """Load the model.

        Raises:
            CheckpointError: it cannot be loaded.
            ExportedModelError: it cannot be run here.
            ValueError: no such device here.
        """
        if self.exported:
            from m.inference_server.exported import ExportedServer  # noqa: PLC0415

            return ExportedServer(
                self.model,
                self.device,
                name=self.name,
                limits=limits,
                most_rows=self.most_rows,
                threads=self.threads,
            )
        import torch  # noqa: PLC0415

        from m.inference_server.server import InferenceServer  # noqa: PLC0415

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return InferenceServer(
            self.model, str(self._device()), name=self.name, limits=limits, most_rows=self.most_rows
        )

    def _device(self) -> torch.device:
        from m.device import choose_device  # noqa: PLC0415

        return choose_device(self.device)
