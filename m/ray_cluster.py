"""Ray, an optional extra: where a cluster is, and joining it or starting one here. Imports Ray when asked."""

from __future__ import annotations

import argparse
import os
import socket
from typing import Any

from m.config import ConfigError

LOCAL = "local"
AUTO = "auto"
_KNOCK_SECONDS = 5.0
_OBJECT_STORE_BYTES = 100 * 1024**2  # settings, scores and forecasts; Ray asks for 75 MB at least
_SPELLINGS = f"{LOCAL}, {AUTO}, HOST:PORT or ray://HOST:PORT"


def add_ray_option(group: argparse._ActionsContainer, *, before: str, use: str) -> None:
    """Add ``--ray [ADDRESS]`` to a command.

    Args:
        group: of arguments, or the parser.
        before: what the command line names that a word after ``--ray`` may have been meant for.
        use: what is done on the cluster.
    """

    def address(text: str) -> str:
        if text not in {LOCAL, AUTO} and ":" not in text:
            raise argparse.ArgumentTypeError(
                f"an address reads {_SPELLINGS}, got '{text}'; name {before} before --ray"
            )
        return text

    group.add_argument(
        "--ray",
        nargs="?",
        type=address,
        const=LOCAL,
        metavar="ADDRESS",
        help=f"{use}: {AUTO}, HOST:PORT or ray://HOST:PORT; without ADDRESS on a Ray started here",
    )


def connect(address: str, *, cores: int) -> Any:
    """Join the cluster at an address, or start a Ray on this machine; returns the module `ray`.

    Args:
        address: `LOCAL` to start one that ends with this process, `AUTO` for the cluster that this machine
            belongs to, ``HOST:PORT`` or ``ray://HOST:PORT``.
        cores: that a Ray started here may use.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address.
    """
    ray = import_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address == LOCAL:
            ray.init(
                LOCAL,
                num_cpus=cores,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                **common,
            )
        else:
            _knock(address)
            ray.init(address=address, **common)
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"--ray {address}: no Ray cluster can be reached there ({reason})") from error
    return ray


def import_ray() -> Any:
    """Ray, which is an extra.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import ray  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            "--ray needs Ray, which is not installed; install the extra: pip install 'm-trajectory[ray]' "
            "(or, beside a deployment, 'ray[serve]')"
        ) from None
    return ray


def reason_of(error: Exception) -> str:
    """What a failed task met: the error itself, or that its worker died."""
    cause = getattr(error, "cause", None)
    if cause is not None:
        return f"{type(cause).__name__}: {cause}"
    return f"its worker died ({type(error).__name__})"


def head_answers(ray: Any) -> bool:
    """Whether anybody listens where the head of the joined cluster is.

    Ray itself ends this process a minute after its head went away, whatever the process is at.
    """
    try:
        _knock(ray.get_runtime_context().gcs_address)
    except OSError:
        return False
    return True


def _knock(address: str) -> None:
    """See whether anybody listens at ``HOST:PORT`` or ``ray://HOST:PORT``: Ray itself tries for minutes.

    Raises:
        OSError: nobody does.
        ValueError: the port is no number.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()
