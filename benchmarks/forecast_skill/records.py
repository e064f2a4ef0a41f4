"""What a race leaves behind: one JSON file, rewritten whole after every finished budget."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.forecast_skill.scores import SkillScores
from m.checkpoint import write_text_atomic

RESULTS = "results.json"


@dataclass(frozen=True, kw_only=True)
class BudgetRecord:
    """One model after one budget.

    Attributes:
        model: name of the contestant.
        title: as in tables.
        minutes: the budget.
        seconds: training time really spent; the last step may end after the budget.
        cpu_seconds: processor time of the training process over the same steps. Over ``seconds`` it is
            the cores the model had: runs that had unequal shares of a busy machine are not comparable.
        steps: optimizer steps.
        windows: training windows seen.
        parameters: trainable numbers.
        flops_per_window: matrix products of forward and backward pass.
        scores: on the test stream.
        description: of the contestant (see `Contestant`).
    """

    model: str
    title: str
    minutes: float
    seconds: float
    cpu_seconds: float
    steps: int
    windows: int
    parameters: int
    flops_per_window: int
    scores: SkillScores
    description: str


class ResultStore:
    """The finished budgets of a folder.

    Args:
        folder: created when missing.
        setup: what all results of the folder share (data, threads, schedule); None to read what is there.

    Raises:
        ValueError: the folder's results were made with another set-up, or there is nothing to read.
    """

    def __init__(self, folder: Path, setup: dict[str, Any] | None = None) -> None:
        self.path = folder / RESULTS
        self.setup: dict[str, Any] = {}
        self.records: list[BudgetRecord] = []
        if self.path.exists():
            self._read()
            if setup is not None:
                self._agree(json.loads(json.dumps(setup)))
        elif setup is None:
            raise ValueError(f"{folder} holds no {RESULTS}; run the race first, or name its folder")
        else:
            self.setup = dict(setup)
            self._write()

    def find(self, model: str, minutes: float) -> BudgetRecord | None:
        """The record of a model and budget, if finished."""
        return next((r for r in self.records if r.model == model and r.minutes == minutes), None)

    def add(self, record: BudgetRecord) -> None:
        """Keep a record, on disk before this returns."""
        self.records.append(record)
        self._write()

    def _write(self) -> None:
        content = {"setup": self.setup, "results": [asdict(r) for r in self.records]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(self.path, json.dumps(content, indent=1) + "\n")

    def _read(self) -> None:
        content = json.loads(self.path.read_text(encoding="utf-8"))
        self.setup = content["setup"]
        self.records = [
            BudgetRecord(**{**entry, "scores": _scores(entry["scores"])}) for entry in content["results"]
        ]

    def _agree(self, setup: dict[str, Any]) -> None:
        differing = [
            f"{key}: {self.setup.get(key)} -> {value}"
            for key, value in setup.items()
            if self.setup.get(key) != value
        ]
        if differing:
            raise ValueError(
                f"{self.path} holds results of another set-up ({'; '.join(differing)}); "
                "keep the set-up, or choose another folder"
            )


def _scores(entry: dict[str, Any]) -> SkillScores:
    low, high = entry["gn_interval"]  # JSON has no tuples
    return SkillScores(**{**entry, "gn_interval": (low, high)})
