"""A run's history as JSON lines: one object per record, appended as it happens."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from m.checkpoint.atomic import write_text_atomic
from m.training.callbacks import Callback
from m.training.records import EvaluationRecord, StartRecord, StepRecord, TrainingStatus


class JsonlLogger(Callback):
    """Writes ``event`` ("start", "step", "evaluation", "end") and the record's fields per line.

    A resumed run continues the file: lines of steps beyond the one it resumes from (written after the
    last saved state, and about to be repeated) are dropped first. Numbers that are not finite become
    null, since JSON has none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._step = 0

    def on_start(self, record: StartRecord) -> None:
        """Begin the file, or cut it back to the step the run goes on from."""
        kept = (
            [line for line in read_jsonl(self.path) if line["step"] <= record.step] if record.resumed else []
        )
        write_text_atomic(self.path, "".join(_encode(line) for line in kept))
        self._step = record.step
        fields = {
            "step": record.step,
            "max_steps": record.max_steps,
            "resumed": record.resumed,
            "changed": list(record.changed),
            "device": record.device,
            "precision": record.precision,
            "precision_reason": record.precision_reason,
            "compiled": record.compiled,
            "compiled_reason": record.compiled_reason,
            "parameters": record.parameters,
        }
        self._append({"event": "start", **fields})

    def on_step(self, record: StepRecord) -> None:
        """Append the record."""
        self._step = record.step
        self._append({"event": "step", **dataclasses.asdict(record)})

    def on_evaluation(self, record: EvaluationRecord) -> None:
        """Append the record."""
        self._step = record.step
        self._append({"event": "evaluation", **dataclasses.asdict(record)})

    def on_end(self, status: TrainingStatus) -> None:
        """Append how the run ended."""
        self._append({"event": "end", "step": self._step, "status": status})

    def _append(self, line: dict[str, Any]) -> None:
        # Opened for each line: a run that dies leaves every line behind it complete.
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_encode(line))


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Lines of a log written by `JsonlLogger`; a torn last line (the process died writing it) is left out.

    Returns:
        One dict per line; empty when the file does not exist.

    Raises:
        ValueError: a line other than the last is not JSON; the message names the file and the line.
    """
    file = Path(path)
    if not file.exists():
        return []
    texts = file.read_text(encoding="utf-8").splitlines()
    lines: list[dict[str, Any]] = []
    for number, text in enumerate(texts, start=1):
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError as error:
            if number < len(texts):
                raise ValueError(
                    f"{file}, line {number}: not JSON ({error}); delete the line or the file"
                ) from error
    return lines


def encode_json(record: Any) -> str:
    """JSON of plain values on one line; numbers that are not finite become null, since JSON has none."""
    return json.dumps(_finite(record), allow_nan=False)


def _encode(line: dict[str, Any]) -> str:
    return encode_json(line) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
