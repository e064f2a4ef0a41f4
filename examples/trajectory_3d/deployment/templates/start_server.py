"""Serve the model of this folder: `python start_server.py --port 8080`. `--help` lists all options.

Needs nothing but this folder and what requirements.txt names.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "app"))


def check_weights(metadata: Any) -> None:
    """Refuse to serve weights that are not those that were measured."""
    for name in metadata["served"]["files"]:
        file = HERE / name
        if not file.is_file():
            sys.exit(f"error: {file} is missing; copy the whole folder again")
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != metadata["files"][name]["sha256"]:
            sys.exit(f"error: {file} is not what was deployed (SHA-256 {found}); copy the folder again")


def main() -> int:
    """Check, then serve until SIGTERM or Ctrl-C."""
    metadata = json.loads((HERE / "metadata.json").read_text(encoding="utf-8"))
    check_weights(metadata)
    try:
        from m.inference_server.cli import serve_named  # noqa: PLC0415  (after the path is known)
    except ImportError as error:
        sys.exit(f"error: {error.name} is not installed; pip install -r {HERE / 'requirements.txt'}")
    return serve_named(str(HERE / metadata["served"]["model"]), metadata["name"])


if __name__ == "__main__":
    sys.exit(main())
