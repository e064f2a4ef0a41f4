"""What must be known of an exported model beside its graph: ``exported.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from m.config import ConfigError, from_dict, to_dict
from m.moe.config import ModelConfig

FORMAT, VERSION = "m.exported", 2
MANIFEST_FILE = "exported.json"


class ExportedModelError(RuntimeError):
    """An exported model that cannot be used; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Manifest:
    """What a graph does not say of itself.

    Attributes:
        kind: format of the graph: onnx, int8, bf16 or pt2.
        file: of the graph, beside the manifest.
        config: the model's architecture.
        parameters: all of them.
        active_parameters: those that one token uses.
        least_points: that the graph wants of each sequence, padding included.
        one_token: whether the graph reads the last token alone, else all that lie strides before it.
        cached: whether it takes and gives a key-value cache, for a model that holds its anchor.
        step_correlation: of neighbouring steps' errors, in (-1, 1).
        degrees_of_freedom: of a Student's t; None for other families.
    """

    kind: str
    file: str
    config: ModelConfig
    parameters: int
    active_parameters: int
    least_points: int
    one_token: bool
    cached: bool
    step_correlation: float
    degrees_of_freedom: float | None

    def write(self, folder: Path) -> None:
        """Write it beside the graph."""
        content = {"format": FORMAT, "version": VERSION, **asdict(self), "config": to_dict(self.config)}
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read it.

        Raises:
            ExportedModelError: missing, or not what `write` wrote.
        """
        file = folder / MANIFEST_FILE
        try:
            content: Any = json.loads(file.read_text(encoding="utf-8"))
            known = content.pop("format"), content.pop("version")
            if known != (FORMAT, VERSION):
                raise ExportedModelError(f"{file}: {known}, not {(FORMAT, VERSION)}; export it again")
            return cls(**{**content, "config": from_dict(ModelConfig, content["config"])})
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ConfigError) as error:
            raise ExportedModelError(
                f"{file}: does not describe an exported model ({type(error).__name__}: {error}); "
                "export the model again"
            ) from error
