"""Deployment: a trained model as a folder that serves it wherever there is Python, or a container."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

import m
from examples.trajectory_3d.config import check_run_name
from examples.trajectory_3d.deployment.expected import ask_exported, ask_model, known_answers
from examples.trajectory_3d.deployment.metadata import (
    deployment_metadata,
    describe,
    with_files,
    write_metadata,
)
from examples.trajectory_3d.deployment.requirements import UnmetRequirementError
from examples.trajectory_3d.deployment.writing import (
    label_of,
    write_app,
    write_requirements,
    write_scripts,
)
from examples.trajectory_3d.evaluation_set import EvaluationSet
from examples.trajectory_3d.model_discovery import FoundModel
from examples.trajectory_3d.run_folder import OUTPUT_ROOT
from examples.trajectory_3d.trained_model import motion_of, name_of
from examples.trajectory_3d.windows import evaluation_windows
from m.config import ConfigError
from m.export.formats import ExportError, export_model
from m.export.parity import Parity, measure_parity
from m.moe import MoESequenceRegressor
from m.release import load, save_weights
from m.runtime.model import load_exported

Optimize = Literal["onnx", "pt2", "int8", "bf16", "none"]
DEPLOYMENTS = OUTPUT_ROOT / "deployments"
EXPORTED = "exported"
SMOKE_SECONDS = 180
_MEBIBYTE = 2**20
# Largest difference from the model, in standard deviations of a context, of forms that only round anew.
_EXACT = {"onnx": 1e-3, "pt2": 1e-3}


class DeploymentError(ConfigError):
    """A model that cannot be deployed as asked; says why and what to do."""


@dataclass(frozen=True)
class Deployment:
    """What was written.

    Attributes:
        folder: of it.
        optimize: in which form the model is served.
        parity: of that form with the model; None where the model itself is served.
        bytes: of what is served: the graph, or the weights.
        smoke: what the smoke test printed; None where it was not run.
    """

    folder: Path
    optimize: Optimize
    parity: Parity | None
    bytes: int
    smoke: str | None


def deploy(
    found: FoundModel,
    name: str,
    *,
    optimize: Optimize = "onnx",
    root: Path = DEPLOYMENTS,
    windows: int = 500,
    most_worse: float = 0.02,
    force: bool = False,
    smoke_test: bool = True,
) -> Deployment:
    """Write a deployment and try it; nothing is left at its place unless all went well.

    Args:
        found: the model.
        name: of the deployment and of the model that it serves.
        optimize: form to serve: ``onnx``, its ``bf16`` or ``int8`` variants, a ``pt2`` program, or ``none``.
        root: folder of deployments.
        windows: of the model's own kind of motion, on which the form is compared with the model.
        most_worse: share by which the form's forecasts may be worse than the model's.
        force: replace a deployment of that name.
        smoke_test: whether to start it and compare its forecasts.

    Raises:
        DeploymentError: no such form, the place is taken, the form cannot be written or forecasts worse than
            allowed, or the smoke test failed.
        ConfigError: nothing says what motion the model is for.
        CheckpointError: it cannot be loaded.
    """
    folder = _place(root, name, force)
    if optimize not in get_args(Optimize):
        raise DeploymentError(f"--optimize {optimize}: choose {', '.join(get_args(Optimize))}")
    model = load(found.path)
    dataset = motion_of(found)
    least = max(windows, 8)
    steps = model.config.head.prediction_steps
    data = evaluation_windows(replace(dataset, prediction_length=steps), "test", least)
    with _staged(folder) as staging:
        save_weights(staging, model)
        served, parity = _write_served(staging, model, data, optimize, most_worse)
        _write_expected(staging, model, data, optimize)
        lines = _write_around(staging, model, served, parity, name_of(found))
        card = {"trained_as": name_of(found), **describe(model, found)}
        content = deployment_metadata(name, card, served, parity, lines)
        write_metadata(with_files(content, staging), staging)
        smoke = run_smoke_test(staging) if smoke_test else None
        size = sum((staging / file).stat().st_size for file in served["files"])
    return Deployment(folder, optimize, parity, size, smoke)


def run_smoke_test(folder: Path) -> str:
    """Run a deployment's smoke test with this Python; what it printed.

    Raises:
        DeploymentError: it failed; with what it printed.
    """
    command = [sys.executable, str(folder.resolve() / "smoke_test.py")]  # a relative path may be all there is
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SMOKE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise DeploymentError(f"the smoke test did not end within {SMOKE_SECONDS} s") from error
    if done.returncode:
        raise DeploymentError(f"the smoke test failed:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def _place(root: Path, name: str, force: bool) -> Path:
    try:
        folder = root / check_run_name(name)
    except ValueError as error:
        raise DeploymentError(f"deployment name: {error}") from error
    if folder.exists() and not force:
        raise DeploymentError(f"{folder} is there already; --force replaces it, or choose another name")
    return folder


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder beside the deployment's place, which it takes when all went well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        staging = Path(temporary) / folder.name
        staging.mkdir()
        yield staging
        for cache in staging.rglob("__pycache__"):  # of the smoke test
            shutil.rmtree(cache)
        if folder.exists():
            folder.rename(Path(temporary) / "replaced")
        staging.rename(folder)


def _write_served(
    staging: Path, model: MoESequenceRegressor, data: EvaluationSet, optimize: Optimize, most_worse: float
) -> tuple[dict[str, Any], Parity | None]:
    """The form that is served, and how it compares."""
    if optimize == "none":
        return {"optimize": "none", "model": ".", "files": ["model.safetensors", "config.json"]}, None
    target = staging / EXPORTED
    target.mkdir()
    try:
        manifest = export_model(model, optimize, target)
    except (ExportError, ValueError) as error:
        raise DeploymentError(f"--optimize {optimize}: {error}") from error
    parity = measure_parity(
        model, load_exported(target), data.context.astype(np.float64), data.targets.astype(np.float64)
    )
    _check_parity(parity, optimize, most_worse)
    files = [f"{EXPORTED}/{manifest.file}", f"{EXPORTED}/exported.json"]
    return {"optimize": optimize, "model": EXPORTED, "files": files}, parity


def _check_parity(parity: Parity, optimize: Optimize, most_worse: float) -> None:
    """Refuse a form that does not forecast as the model does.

    Raises:
        DeploymentError: its error is too large, or a form that only rounds differs by more than rounding.
    """
    if not parity.worse <= most_worse:
        raise DeploymentError(
            f"--optimize {optimize}: its forecasts of {parity.windows} windows are {parity.worse:.1%} worse "
            f"({parity.error:.4g} against {parity.model_error:.4g}), more than {most_worse:.1%}; take onnx, "
            "or allow more with --most-worse"
        )
    bound = _EXACT.get(optimize)
    if bound is not None and not parity.largest <= bound:
        raise DeploymentError(
            f"--optimize {optimize}: a forecast differs by {parity.largest:.2g} standard deviations of its "
            f"context from the model's, more than rounding ({bound:g}); report this bug, and take none"
        )


def _write_expected(
    staging: Path, model: MoESequenceRegressor, data: EvaluationSet, optimize: Optimize
) -> None:
    ask = ask_model(model) if optimize == "none" else ask_exported(load_exported(staging / EXPORTED))
    steps = model.config.head.prediction_steps
    content = known_answers(ask, data, steps)
    (staging / "expected.json").write_text(json.dumps(content) + "\n", encoding="utf-8")


def _write_around(
    staging: Path,
    model: MoESequenceRegressor,
    served: dict[str, Any],
    parity: Parity | None,
    trained_as: str,
) -> list[str]:
    """All that is not the model; the lines of the lock."""
    optimize, name = served["optimize"], staging.name
    needs_torch = optimize in ("none", "pt2")
    try:
        lines = write_requirements(staging, torch=needs_torch, onnx=not needs_torch)
    except UnmetRequirementError as error:
        raise DeploymentError(str(error)) from error
    write_app(staging)
    config, label = model.config, label_of(name)
    kind = "dense transformer" if config.router.is_dense else "mixture-of-experts transformer"
    memory = 1024 if needs_torch else 384
    weights = sum((staging / file).stat().st_size for file in served["files"]) / _MEBIBYTE
    write_scripts(
        staging,
        {
            "name": name,
            "label": label,
            "image": label,
            "version": m.__version__,
            "python": ".".join(map(str, sys.version_info[:2])),
            "ignored": "exported" if optimize == "none" else "model.safetensors",
            "channels": str(config.input_dim),
            "steps": str(config.head.prediction_steps),
            "example_points": str(config.anchor.span or 64),
            "description": f"a {kind} ({trained_as})",
            "memory_request": f"{int(memory / 2 + 2 * weights)}Mi",
            "memory_limit": f"{int(2 * memory + 8 * weights)}Mi",
            "memory_limit_compose": f"{int(2 * memory + 8 * weights)}m",
            "served_row": ""
            if optimize == "none"
            else f"| `{EXPORTED}/` | the form that is served: {optimize} |",
            "parity": _parity_text(parity, optimize),
        },
    )
    return lines


def _parity_text(parity: Parity | None, optimize: str) -> str:
    if parity is None:
        return "The weights are served as they were trained, by torch."
    return (
        f"Served as {optimize}. On {parity.windows} windows its forecasts differ from the trained model's\n"
        f"by at most {parity.largest:.2g} standard deviations of the context; mean error {parity.error:.5g}\n"
        f"against {parity.model_error:.5g} ({parity.worse:+.2%}); "
        f"{parity.same_experts:.2%} of the experts chosen are the same.\n"
    )
