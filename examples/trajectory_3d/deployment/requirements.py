"""The lock of a deployment: the versions, of everything it needs, that it was tried with here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from typing import Any

from packaging.markers import UndefinedEnvironmentName, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SERVING = (
    "fastapi",
    "httptools",
    "jsonargparse",
    "numpy",
    "orjson",
    "prometheus-client",
    "pydantic",
    "pyyaml",
    "scipy",
    "uvicorn",
    "uvloop",
    "websockets",
)
TORCH = ("torch", "safetensors")
ONNX = ("onnxruntime",)
# Where there is none for the platform, the server runs without: see m.inference_server.runner.
_MARKERS = {"uvloop": "sys_platform != 'win32'"}
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
# What torch needs on some platforms, and its builds for CPUs do not.
_OF_GPUS = ("nvidia-", "cuda-", "triton")


class UnmetRequirementError(RuntimeError):
    """A package that the deployment needs is not installed here, so no version of it is known to work."""


def lock(roots: Iterable[str]) -> list[str]:
    """Pinned requirements of some packages and all they need, as installed here; one line each, sorted.

    Raises:
        UnmetRequirementError: one of them is not installed.
    """
    found: dict[str, str] = {}
    waiting = [(name, frozenset[str]()) for name in roots]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        key = (canonicalize_name(name), extras)
        if key in seen:
            continue
        seen.add(key)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError as error:
            raise UnmetRequirementError(
                f"{name} is not installed here, but the deployment needs it; install it and deploy again"
            ) from error
        found[key[0]] = distribution.version.partition("+")[0]  # no local builds, which no index has
        waiting += _needed(distribution, extras)
    return [_line(name, version) for name, version in sorted(found.items()) if not name.startswith(_OF_GPUS)]


def _needed(distribution: metadata.Distribution, extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    needed = []
    for text in distribution.requires or []:
        requirement = Requirement(text)
        if any(_holds(requirement, extra) for extra in extras | {""}):
            needed.append((requirement.name, frozenset(requirement.extras)))
    return needed


def _holds(requirement: Requirement, extra: str) -> bool:
    environment: dict[str, Any] = {**default_environment(), "extra": extra}
    try:
        return requirement.marker is None or requirement.marker.evaluate(environment)
    except UndefinedEnvironmentName:
        return False


def _line(name: str, version: str) -> str:
    marker = _MARKERS.get(name)
    return f"{name}=={version}" + (f" ; {marker}" if marker else "")
