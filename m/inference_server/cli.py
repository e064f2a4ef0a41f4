"""``m-serve MODEL``: serve any checkpoint of this package."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from m.ray_cluster import add_ray_option

if TYPE_CHECKING:
    from m.inference_server.choice import ModelChoice
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
    cluster = parser.add_argument_group("many replicas")
    add_ray_option(
        cluster,
        before="the model",
        use="serve replicas, which keep no sessions, by Ray Serve (ray[serve]) on a cluster whose machines "
        "see the model under the same path",
    )
    cluster.add_argument(
        "--replicas",
        type=int,
        default=2,
        help="with --ray: processes with the model, each with --threads cores (1), and with a GPU where "
        "--device says cuda (default: 2)",
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
    ("sessions", 256, "open sessions; 0 keeps none"),
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
    from m.inference_server.choice import ModelChoice  # noqa: PLC0415
    from m.runtime.manifest import ExportedModelError  # noqa: PLC0415

    try:
        settings = settings_of(arguments)
        at_least("--most-rows", arguments.most_rows, 1)
        at_least("--replicas", arguments.replicas, 1)
        choice = ModelChoice.of(
            model, name, device=arguments.device, threads=arguments.threads, most_rows=arguments.most_rows
        )
        return _serve(choice, settings, arguments)
    except (ConfigError, ExportedModelError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _serve(choice: ModelChoice, settings: ServeSettings, arguments: argparse.Namespace) -> int:
    """Serve in this process, or by replicas."""

    def announce(text: str) -> None:
        _announce(text, settings)

    if arguments.ray is None:
        from m.inference_server.runner import serve  # noqa: PLC0415

        choice.check_device()
        return serve(
            lambda: choice.make(settings.limits), name=choice.name, settings=settings, announce=announce
        )
    from m.inference_server.ray_serve import serve_on_ray  # noqa: PLC0415

    return serve_on_ray(
        choice, settings=settings, address=arguments.ray, replicas=arguments.replicas, announce=announce
    )


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
