"""The files of a deployment that are the same for every model but for a few words."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata, resources
from pathlib import Path
from string import Template

import m
from examples.trajectory_3d.deployment.requirements import ONNX, SERVING, TORCH, TORCH_INDEX, lock

TEMPLATES = "templates"
_COPIED = ("start_server.py", "smoke_test.py", "healthcheck.py")
_FILLED = {
    "Dockerfile": "Dockerfile",
    "dockerignore": ".dockerignore",
    "compose.yaml": "compose.yaml",
    "kubernetes/deployment.yaml": "kubernetes/deployment.yaml",
    "kubernetes/service.yaml": "kubernetes/service.yaml",
    "kubernetes/kustomization.yaml": "kubernetes/kustomization.yaml",
    "kserve/inferenceservice.yaml": "kserve/inferenceservice.yaml",
    "README.md": "README.md",
}
_NOT_SERVED = ("training", "export")  # rooms of the platform that a server needs nothing of
_LICENSE = "LICENSE"


def write_scripts(folder: Path, words: Mapping[str, str]) -> None:
    """Scripts, container files and README.

    Args:
        folder: of the deployment.
        words: that fill the templates' blanks.
    """
    source = resources.files(__package__) / TEMPLATES
    for name in _COPIED:
        (folder / name).write_text((source / name).read_text(encoding="utf-8"), encoding="utf-8")
    for name, target in _FILLED.items():
        text = Template((source / name).read_text(encoding="utf-8")).substitute(words)
        file = folder / target
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")


def write_app(folder: Path) -> None:
    """The platform's own code that serves, beside its license."""
    source = Path(m.__file__).parent

    def left_out(directory: str, names: list[str]) -> list[str]:
        rooms = _NOT_SERVED if Path(directory) == source else ()
        return [name for name in names if name in rooms or name == "__pycache__"]

    shutil.copytree(source, folder / "app" / "m", ignore=left_out)
    text = _license_text()
    if text is not None:
        (folder / "app" / _LICENSE).write_text(text, encoding="utf-8")


def write_requirements(folder: Path, *, torch: bool, onnx: bool) -> list[str]:
    """The lock, ``requirements.txt``; its lines.

    Raises:
        UnmetRequirementError: something that is needed is not installed here.
    """
    roots = (*SERVING, *(TORCH if torch else ()), *(ONNX if onnx else ()))
    lines = lock(roots)
    version = ".".join(map(str, sys.version_info[:2]))
    head = [f"# What was installed, with Python {version}, where this model was deployed and tried."]
    if torch:
        head += [
            "# torch for CPUs; leave this line out where a GPU is to be used.",
            f"--extra-index-url {TORCH_INDEX}",
        ]
    (folder / "requirements.txt").write_text("\n".join((*head, *lines)) + "\n", encoding="utf-8")
    return lines


def label_of(name: str) -> str:
    """A name as Kubernetes and image registries take it (RFC 1123): lower case, digits and dashes."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return f"forecast-{label}" if label else "forecast"


def _license_text() -> str | None:
    """Of this project: from its installation, else from beside its source."""
    beside = Path(m.__file__).parent.parent / _LICENSE
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    try:
        files = metadata.files("m-trajectory") or []
    except metadata.PackageNotFoundError:
        return None
    found = [file for file in files if file.name == _LICENSE]
    return found[0].read_text(encoding="utf-8") if found else None
