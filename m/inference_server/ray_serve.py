"""A model served by replicas on a Ray cluster: an application of Ray Serve with the faces of the server.

The HTTP proxy of Ray Serve takes requests, a front passes them on (`ray_front`), replicas answer them, each
a process with the model and the application that ``m-serve`` runs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import m
from m.config import ConfigError
from m.inference_server.app import create_app
from m.inference_server.choice import ModelChoice
from m.inference_server.guard import Access
from m.inference_server.host import Host
from m.inference_server.limits import Limits
from m.inference_server.runner import ServeSettings, listening
from m.inference_server.runner import address as url_of
from m.inference_server.whole import WholeAnswer, WholeRequest, answer_whole
from m.ray_cluster import connect

APPLICATION = "forecasts"
REPLICAS = "Replica"
_HEALTH_SECONDS = 5  # between looks at a replica: one that is ill is replaced after three
_SLACK_SECONDS = 30.0  # beyond a request's own time, in which replicas that died are replaced


class Replica:
    """A process of Ray Serve with the model.

    Args:
        choice: the model.
        limits: of a request.
        access: who may ask.
    """

    def __init__(self, choice: ModelChoice, limits: Limits, access: Access) -> None:
        self._host = Host.of(choice.make(limits))
        self._app = create_app(self._host, limits=limits, access=access)

    async def answer(self, request: WholeRequest) -> WholeAnswer:
        """Answer a request as `create_app` does."""
        return await answer_whole(self._app, request)

    def check_health(self) -> None:
        """Asked by Ray Serve, which replaces a replica that raises.

        Raises:
            RuntimeError: the engine died.
        """
        if self._host.status == "failed":
            raise RuntimeError("the engine died")


def application(choice: ModelChoice, *, settings: ServeSettings, replicas: int) -> Any:
    """The application of Ray Serve, to be given to `ray.serve.run`.

    Args:
        choice: the model, as all machines of the cluster see it.
        settings: limits, key and origins; sessions are not kept, whatever the limits say.
        replicas: processes with the model.
    """
    serve = _import_serve()
    limits = replace(settings.limits, sessions=0)
    patience = limits.timeout_seconds + _SLACK_SECONDS
    common: dict[str, Any] = {"graceful_shutdown_timeout_s": settings.drain_seconds}
    answering = serve.deployment(
        Replica,
        name=REPLICAS,
        num_replicas=replicas,
        max_ongoing_requests=limits.waiting,
        health_check_period_s=_HEALTH_SECONDS,
        ray_actor_options={
            "num_cpus": choice.threads or 1,
            "num_gpus": 1 if choice.device.startswith("cuda") else 0,
            **_environment(),
        },
        **common,
    ).bind(choice, limits, Access(key=settings.key, origins=settings.origins, local_only=settings.loopback))

    def front() -> Any:
        from m.inference_server.ray_front import Front  # noqa: PLC0415  (in the process that runs it)

        def find() -> Any:
            return serve.get_deployment_handle(REPLICAS, app_name=APPLICATION)

        return Front(find, body_bytes=limits.body_bytes, patience=patience)

    return serve.deployment(
        serve.ingress(front)(),
        name="Front",
        num_replicas=1,
        # One more than all replicas take: then it is they who say that they are busy.
        max_ongoing_requests=2 * replicas * limits.waiting,
        ray_actor_options={"num_cpus": 0, **_environment()},
        **common,
    ).bind(answering)


def serve_on_ray(
    choice: ModelChoice,
    *,
    settings: ServeSettings,
    address: str,
    replicas: int,
    announce: Callable[[str], None] = print,
) -> int:
    """Serve by replicas until a signal ends it; the exit code.

    Raises:
        ConfigError: Ray is not installed, there is no cluster, the port is taken, or replicas do not start.
    """
    here = replace(choice, model=_absolute(choice.model), threads=choice.threads or 1)
    url, settings = _place(settings)
    ray = connect(address, cores=max(os.cpu_count() or 1, replicas * (here.threads or 1)))
    try:
        serve = _import_serve()
        with contextlib.redirect_stdout(sys.stderr):  # where Ray tells of processes that died
            _start(serve, here, settings, replicas)  # a signal ends it as usual: nobody is in yet
        with _asked_to_end() as asked:
            announce(f"serving {here.name} by {replicas} replicas at {url}")
            with contextlib.redirect_stdout(sys.stderr):
                asked.wait()
                serve.delete(APPLICATION)  # waits for requests that replicas are at
                serve.shutdown()
    finally:
        ray.shutdown()
    return 0


def _start(serve: Any, choice: ModelChoice, settings: ServeSettings, replicas: int) -> None:
    """Start proxy, front and replicas.

    Raises:
        ConfigError: one of them does not start.
    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        serve.start(http_options={"host": settings.host, "port": settings.port})
        serve.run(
            application(choice, settings=settings, replicas=replicas), name=APPLICATION, route_prefix="/"
        )
    except (RuntimeError, OSError) as error:
        raise ConfigError(f"Ray Serve could not start the replicas: {error}") from error


def _place(settings: ServeSettings) -> tuple[str, ServeSettings]:
    """The URL, and the settings with the port that was chosen where any was allowed.

    Raises:
        ConfigError: the port is taken here.
    """
    with listening(settings) as listener:
        return url_of(listener), replace(settings, port=listener.getsockname()[1])


def _environment() -> dict[str, Any]:
    """Where replicas find this package, which may lie in a deployment's folder and not be installed."""
    return {"runtime_env": {"env_vars": {"PYTHONPATH": str(Path(m.__file__).parent.parent)}}}


def _absolute(model: str) -> str:
    return str(Path(model).absolute()) if Path(model).exists() else model


def _import_serve() -> Any:
    """Ray Serve.

    Raises:
        ConfigError: only Ray itself is installed.
    """
    try:
        from ray import serve  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"--ray needs Ray Serve ({error.name} is missing); install it: pip install 'ray[serve]'"
        ) from None
    return serve


@contextlib.contextmanager
def _asked_to_end() -> Iterator[threading.Event]:
    """An event that SIGTERM or Ctrl-C sets; a second one ends the process at once, as usual."""
    asked = threading.Event()
    before = {int(number): signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def ask(number: int, frame: Any) -> None:  # noqa: ARG001  (the signature of handlers)
        asked.set()
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
