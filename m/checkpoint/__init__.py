"""Files that hold models and runs: atomic writing, safe reading, safetensors for shipping."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from m.checkpoint.atomic import atomic_path, write_text_atomic
    from m.checkpoint.errors import CheckpointError
    from m.checkpoint.io import load_checkpoint, save_checkpoint
    from m.checkpoint.model import load_model, save_model
    from m.checkpoint.payload import model_payload
    from m.checkpoint.safetensors import export_safetensors, load_safetensors

__all__ = [
    "CheckpointError",
    "atomic_path",
    "export_safetensors",
    "load_checkpoint",
    "load_model",
    "load_safetensors",
    "model_payload",
    "save_checkpoint",
    "save_model",
    "write_text_atomic",
]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    {
        "CheckpointError": "m.checkpoint.errors",
        "atomic_path": "m.checkpoint.atomic",
        "export_safetensors": "m.checkpoint.safetensors",
        "load_checkpoint": "m.checkpoint.io",
        "load_model": "m.checkpoint.model",
        "load_safetensors": "m.checkpoint.safetensors",
        "model_payload": "m.checkpoint.payload",
        "save_checkpoint": "m.checkpoint.io",
        "save_model": "m.checkpoint.model",
        "write_text_atomic": "m.checkpoint.atomic",
    },
)
