"""``m-serve MODEL``: serve any checkpoint of this package."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from m.inference_server.forecast_server import ForecastServer
    from m.inference_server.runner import ServeSettings

KEY_VARIABLE = "M_SERVER_KEY"


def add_serving(parser: argparse.ArgumentParser) -> None:
    """Add the options of a server process."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=int, default=8080, help="0 for any free one (default: 8080)")
    parser.add_argument("--device", default="auto", help="auto (CUDA when there is one), cpu, cuda, cuda:1")
    parser.add_argument("--threads", type=int, help="of the processor for the model (default: one a core)")
    parser.add_argument(
        "--key",
        help=f"clients must send it: Authorization: Bearer KEY; better in the variable {KEY_VARIABLE}, "
        "where other users of the machine do not see it",
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="URL",
        help="let pages from there ask from a browser; may be repeated (default: none)",
    )
    parser.add_argument(
        "--most-rows",
        type=int,
        default=256,
        help="paths that share a step of the model; 1 serves one request after the other (default: 256)",
    )
    limits = parser.add_argument_group("limits")
    for name, default, text in _LIMITS:
        limits.add_argument(f"--most-{name}", type=int, default=default, help=f"{text} (default: {default})")
    limits.add_argument(
        "--timeout", type=float, default=30.0, help="seconds a request may take (default: 30)"
    )
    parser.add_argument(
        "--notice-seconds",
        type=float,
        default=0.0,
        help="after SIGTERM, say 'not ready' so long while still taking requests (default: 0)",
    )
    parser.add_argument(
        "--drain-seconds", type=float, default=30.0, help="for those who are in, after that (default: 30)"
    )


# Kept apart from `Limits`, whose module must not be imported for --help; a test holds them together.
_LIMITS = (
    ("body-bytes", 8 * 2**20, "of a request"),
    ("batch", 64, "contexts in one request"),
    ("context", 4096, "points of a context"),
    ("horizon", 1024, "points to forecast"),
    ("samples", 1000, "paths per context"),
    ("context-points", 2**16, "points of all contexts of a request"),
    ("forecast-points", 2**18, "points of all paths of a request"),
    ("waiting", 256, "requests that may wait or run at once"),
    ("sessions", 256, "open sessions"),
)


def settings_of(arguments: argparse.Namespace) -> ServeSettings:
    """What `add_serving` has read.

    Raises:
        ValueError: a limit or a key that makes no sense.
    """
    from m.inference_server.guard import check_key, origins_of  # noqa: PLC0415  (imports torch and FastAPI)
    from m.inference_server.limits import Limits  # noqa: PLC0415
    from m.inference_server.runner import ServeSettings  # noqa: PLC0415

    limits = Limits(
        body_bytes=arguments.most_body_bytes,
        batch=arguments.most_batch,
        context=arguments.most_context,
        horizon=arguments.most_horizon,
        samples=arguments.most_samples,
        context_points=arguments.most_context_points,
        forecast_points=arguments.most_forecast_points,
        waiting=arguments.most_waiting,
        sessions=arguments.most_sessions,
        timeout_seconds=arguments.timeout,
    )
    return ServeSettings(
        host=arguments.host,
        port=arguments.port,
        limits=limits,
        key=check_key(os.environ.get(KEY_VARIABLE) or None if arguments.key is None else arguments.key),
        origins=origins_of(arguments.allow_origin),
        notice_seconds=arguments.notice_seconds,
        drain_seconds=arguments.drain_seconds,
    )


def run_server(model: str, arguments: argparse.Namespace, *, name: str | None = None) -> int:
    """Serve a model until a signal ends it; the exit code.

    Args:
        model: what `m.load` takes, or the folder of an exported model, which is served without torch.
        arguments: with what `add_serving` has read.
        name: what clients call it; by default from ``model``.
    """
    from m._checks import at_least  # noqa: PLC0415  (seconds; only once the command really runs)
    from m.config import ConfigError  # noqa: PLC0415
    from m.inference_server.runner import serve  # noqa: PLC0415
    from m.runtime.manifest import ExportedModelError  # noqa: PLC0415

    try:
        settings = settings_of(arguments)
        at_least("--most-rows", arguments.most_rows, 1)
        choose = _exported if is_exported(model) else _trained
        called, make = choose(model, arguments, settings, name)
        return serve(make, name=called, settings=settings, announce=lambda text: _announce(text, settings))
    except (ConfigError, ExportedModelError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def is_exported(model: str) -> bool:
    """Whether a path is the folder of an exported model."""
    from m.runtime.manifest import MANIFEST_FILE  # noqa: PLC0415

    return (Path(model) / MANIFEST_FILE).is_file()


Made = tuple[str, "Callable[[], ForecastServer]"]


def _exported(model: str, arguments: argparse.Namespace, settings: ServeSettings, name: str | None) -> Made:
    """Name and maker of a server for an exported model."""
    from m.inference_server.exported import ExportedServer  # noqa: PLC0415
    from m.runtime.manifest import Manifest  # noqa: PLC0415

    Manifest.read(Path(model))  # before the port is opened: what is broken is told at once
    called = name or Path(model).resolve().name
    return called, lambda: ExportedServer(
        model,
        arguments.device,
        name=called,
        limits=settings.limits,
        most_rows=arguments.most_rows,
        threads=arguments.threads,
    )


def _trained(model: str, arguments: argparse.Namespace, settings: ServeSettings, name: str | None) -> Made:
    """Name and maker of a server for a model of torch."""
    import torch  # noqa: PLC0415

    from m.device import choose_device  # noqa: PLC0415
    from m.inference_server.server import InferenceServer, model_name  # noqa: PLC0415
    from m.release import locate  # noqa: PLC0415

    device = str(choose_device(arguments.device))
    locate(model)  # before the port is opened: a wrong name is told at once
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    called = name or model_name(model)

    def make() -> InferenceServer:
        return InferenceServer(
            model, device, name=called, limits=settings.limits, most_rows=arguments.most_rows
        )

    return called, make


def _announce(text: str, settings: ServeSettings) -> None:
    """Say where the server is, and whom it lets in."""
    print(text, flush=True)
    if not settings.loopback and settings.key is None:
        print(
            f"warning: whoever reaches {settings.host} can use this server; --key would ask for a key",
            file=sys.stderr,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="m-serve",
        description="Serve forecasts over HTTP: a page at /, the routes at /docs. "
        "Ends with SIGTERM or Ctrl-C once everybody in is answered.",
    )
    parser.add_argument(
        "model",
        help="a checkpoint, the folder of a run, a release or an exported model, or a registered name",
    )
    add_serving(parser)
    arguments = parser.parse_args(argv)
    return run_server(arguments.model, arguments)


def serve_named(model: str, name: str, argv: Sequence[str] | None = None) -> int:
    """The command for one model that is known already, as a deployment's start script wants it."""
    parser = argparse.ArgumentParser(
        description=f"Serve forecasts of {name}: a page at /, the routes at /docs."
    )
    add_serving(parser)
    return run_server(model, parser.parse_args(argv), name=name)


if __name__ == "__main__":
    sys.exit(main())
