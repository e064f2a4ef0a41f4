"""What benchmarks share: the JSON line printed last, and what makes their steps typical."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

# Steps timed are those of the greater part of a run, when each expert goes its own way.
UNTIED = "model.experts.tied_steps=0"


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def print_json(benchmark: str, figures: dict[str, Any]) -> None:
    """Print the closing line."""
    line = {
        "benchmark": benchmark,
        **figures,
        "machine": {
            "processor": processor(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }
    print(json.dumps(line))
