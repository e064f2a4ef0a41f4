"""What an anchor costs that was taken some points ago, as sessions that hold theirs have it.

    python -m benchmarks.anchor_age --model trajectory-3d --windows 250

Contexts of the model's own test stream, of 64 points before the anchor and so many after it; the error of the
next 16 points with the anchor held, and with one taken from the last points. The last line printed is one
JSON document.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from benchmarks.report import print_json
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.model_discovery import named_model
from examples.trajectory_3d.trained_model import motion_of
from examples.trajectory_3d.windows import evaluation_windows
from m import load

ANCHORED = 64  # points before the anchor
AGES = (0, 1, 4, 8, 16, 32, 64, 128)  # points after it


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="trajectory-3d")
    parser.add_argument("--windows", type=int, default=250)
    arguments = parser.parse_args()
    model, dataset = load(arguments.model), motion_of(named_model(arguments.model))
    dataset = replace(dataset, sequence_length=4 * ANCHORED)  # the same windows whatever the age
    windows = evaluation_windows(dataset, "test", arguments.windows)
    figures = []
    for age in AGES:
        context = windows.context[:, -(ANCHORED + age) :]
        held, new = (
            position_error(
                model.forecast(context, windows.horizon, anchor_points=points).mean, windows.targets
            )
            for points in (ANCHORED, None)
        )
        ratio = float(np.exp(np.log(held / new).mean()))
        figures.append({"age": age, "held": float(held.mean()), "new": float(new.mean()), "ratio": ratio})
        print(f"{age:4d} points: held {held.mean():.4f} m, new {new.mean():.4f} m, ratio {ratio:.2f}")
    print_json("anchor_age", {"model": arguments.model, "figures": figures})


if __name__ == "__main__":
    main()
