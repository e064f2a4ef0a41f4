"""`ExportedServer`: forecasts of an exported model, without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from m.generation.worker import EngineWorker
from m.inference_server.forecast_server import ForecastServer, ServedModel, session_store
from m.inference_server.limits import Limits
from m.inference_server.wish import ForecastWish
from m.moe.request import ForecastRequest
from m.runtime.distribution import quantile
from m.runtime.engine import ExportedEngine
from m.runtime.job import ExportedJob
from m.runtime.model import load_exported


class ExportedServer(ForecastServer):
    """Serves the forecasts of an exported model by every face that `InferenceServer` has.

    Args:
        folder: with the graph and its ``exported.json``.
        device: ``cpu`` or ``cuda``; ``auto`` is the CPU.
        name: what clients call the model; by default the folder's name.
        limits: how much a client may ask for.
        most_rows: sequences that share a reading.
        threads: of the processor, for one reading; None for one a core.

    Raises:
        ExportedModelError: no exported model there, or none that can be run here.
        ValueError: a number that makes no sense.
    """

    def __init__(
        self,
        folder: str | Path,
        device: str = "auto",
        *,
        name: str | None = None,
        limits: Limits | None = None,
        most_rows: int = 256,
        threads: int | None = None,
    ) -> None:
        limits, folder = limits or Limits(), Path(folder)
        device = "cpu" if device == "auto" else device
        self.model = load_exported(folder, device=device, threads=threads)
        manifest = self.model.manifest
        engine = ExportedEngine(self.model, most_rows=most_rows, sessions=session_store(limits))
        served = ServedModel(
            manifest.config,
            device,
            manifest.parameters,
            manifest.active_parameters,
            "pytorch_pt2" if manifest.kind == "pt2" else "onnxruntime_onnx",
        )
        worker = EngineWorker(engine, most_waiting=limits.waiting)
        super().__init__(worker, served, name=name or folder.resolve().name, limits=limits)
        worker.call(lambda _: self._warm_up())  # the first to ask need not wait for it

    def _warm_up(self) -> None:
        """Do once what takes time once: the graph's memory, and the module of quantiles."""
        request = ForecastRequest.of(self.config, np.zeros((1, self.config.input_dim)), 1)
        quantile(self.model.read(self.model.begin(request)), 0.5, self.model.manifest)

    def read(self, wish: ForecastWish) -> ExportedJob:
        """A job for the engine.

        Raises:
            ValueError: what is asked for is malformed, or the model cannot do it.
        """
        return ExportedJob.read(self.model.manifest, wish.context, wish.horizon, **wish.options())
