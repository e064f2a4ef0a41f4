"""A trained model as safetensors and a configuration, which ``m.load`` and other programs read."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from examples.trajectory_3d.model_discovery import RELEASE_WEIGHTS, ModelNotFoundError
from examples.trajectory_3d.plain_files import text_at
from examples.trajectory_3d.run_metadata import RELEASE_CONFIG, RunInfo

DTYPES = ("float32", "float16", "bfloat16")


def export_model(info: RunInfo, folder: Path, *, dtype: str = "float32", force: bool = False) -> Path:
    """Write ``model.safetensors`` and ``config.json``; the folder appears whole or not at all.

    Args:
        info: of what to export.
        folder: to write.
        dtype: one of `DTYPES`; half precisions store vectors in float32 all the same.
        force: write over an earlier export. Other files of the folder stay.

    Returns:
        The folder.

    Raises:
        ModelNotFoundError: there is no model file.
        FileExistsError: the folder holds files and ``force`` is False.
        CheckpointError: the model cannot be loaded, or is not finite in ``dtype``.
        OSError: the file system refused.
    """
    source = info.model_file
    if source is None:
        raise ModelNotFoundError(f"{info.path} holds no model to export (status: {info.status})")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not force:
        raise FileExistsError(f"{folder} already holds files; name another --output, or --force to overwrite")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        written = Path(temporary) / "export"
        _write(source, written, dtype, _metadata(info, source, dtype))
        if not folder.exists():
            written.rename(folder)
        else:
            for name in (RELEASE_WEIGHTS, RELEASE_CONFIG):
                (written / name).replace(folder / name)
    return folder


def default_folder(info: RunInfo) -> Path:
    """Where an export goes that nobody named a place for: ``exports/<name>`` in the working folder."""
    return Path("exports") / Path(info.name).stem


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(source: Path, folder: Path, dtype: str, metadata: dict[str, Any]) -> None:
    # Imported here: other uses of the command need no torch.
    import torch  # noqa: PLC0415

    from m.checkpoint import export_safetensors, write_text_atomic  # noqa: PLC0415
    from m.release import load, release_config, save_release  # noqa: PLC0415

    model = load(source)
    content = {**release_config(model), "metadata": metadata}
    if dtype == "float32":
        export_safetensors(folder, model.state_dict(), content)
        return
    save_release(folder, model, dtype=getattr(torch, dtype))  # refuses what is not finite
    write_text_atomic(folder / RELEASE_CONFIG, json.dumps(content, indent=2, allow_nan=False) + "\n")


def _metadata(info: RunInfo, source: Path, dtype: str) -> dict[str, Any]:
    return {
        "name": info.name,
        "source": source.name,
        "source_sha256": sha256(source),
        "dtype": dtype,
        "step": info.best_step if source.name == "best_model.pt" else info.step,
        "config_hash": text_at(info.summary, "config_hash"),
        "git_commit": text_at(info.summary, "git_commit"),
    }
