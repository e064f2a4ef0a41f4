"""Demonstration of `m.inference_server`: 3-D points as 'tokens', asked for in every way the server knows.

Each answer is compared with the model's own ``forecast``, which knows no engine, cache or session.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.demo import median_windows
from examples.trajectory_3d.evaluation import EvaluationSet, ForecastError
from examples.trajectory_3d.forecasters import FloatArray, PathForecast
from examples.trajectory_3d.visualization import plot_forecast_fans
from examples.trajectory_3d.windows import evaluation_windows
from m.config import ConfigError
from m.inference_server import InferenceServer, RequestError
from m.moe import MoESequenceRegressor

PICTURE = "forecasts.png"
SHORT, LONG = 16, 32  # points ahead
PUSHES = 16  # of one point each
SAMPLES = 32  # paths that make a fan
TEMPERATURE = 0.8
MOST_MOTIONS = 5  # that are shown
WINDOWS = 200  # from which one of each motion is chosen
# Rounding in single precision, of a forecast's size; long forecasts are made from forecasts and add it up.
AGREEMENT = 5e-5


class DisagreementError(ForecastError):
    """The server answered otherwise than the model, or not at all."""


@dataclass(frozen=True)
class Exchange:
    """A request, its answer, and the points that the answer was made from."""

    request: Mapping[str, Any]
    answer: Mapping[str, Any]
    context: FloatArray


@dataclass(frozen=True)
class Outcome:
    """How one kind of request went.

    Attributes:
        request: the kind.
        what: was asked for, in words.
        points: forecast points in the answers, those of drawn paths too.
        steps: that the requests asked for, one after the other.
        seconds: until all were answered.
        reused: context points that the server had read before.
        difference: metres, the largest of any coordinate from the model's own forecast.
        allowed: metres that rounding explains.
    """

    request: str
    what: str
    points: int
    steps: int
    seconds: float
    reused: int
    difference: float
    allowed: float

    @property
    def agrees(self) -> bool:
        """Whether the server gave the model's numbers."""
        return self.difference <= self.allowed


@dataclass(frozen=True)
class Demonstration:
    """What came of all requests, and a picture of the forecasts with the widest choice of paths."""

    outcomes: tuple[Outcome, ...]
    picture: Figure

    def check(self) -> None:
        """Refuse a server that does not give the model's numbers.

        Raises:
            DisagreementError: says which requests.
        """
        wrong = [outcome for outcome in self.outcomes if not outcome.agrees]
        if wrong:
            told = ", ".join(f"'{each.request}' by {each.difference:.2g} m" for each in wrong)
            raise DisagreementError(
                f"the served forecasts differ from the model's own: {told}; "
                f"rounding explains {min(each.allowed for each in wrong):.1g} m"
            )


def demonstrate(model: Path, name: str, dataset: DatasetConfig, *, device: str = "auto") -> Demonstration:
    """Serve a model in this process and ask it for forecasts of its own kind of motion.

    Args:
        model: what `InferenceServer` takes.
        name: of it, for the picture.
        dataset: the motion, and the seed of the paths.
        device: ``auto``, or what `torch.device` takes.

    Raises:
        ConfigError: a model of other than 3-D points, or motion that cannot be made.
        CheckpointError: no model there.
        DisagreementError: the server refused a request.
    """
    with InferenceServer(model, device, name=name) as server:
        sizes = (server.model.config.input_dim, server.model.config.target_dim)
        if sizes != (3, 3):
            raise ConfigError(
                f"{model} takes points of {sizes[0]} numbers and forecasts {sizes[1]}, not 3 and 3"
            )
        windows = _chosen(server.model, dataset)
        try:
            return asyncio.run(_Demonstrator(server, windows).run())
        except RequestError as error:
            raise DisagreementError(f"the server refused a request: {error.message}") from error


def outcome_table(outcomes: Sequence[Outcome]) -> Table:
    """A line for each kind of request."""
    table = Table(title="Forecasts by the server, compared with the model's own", title_justify="left")
    for heading in ("request", "what"):
        table.add_column(heading, no_wrap=True)
    for heading in ("points", "time ms", "steps/s", "reused", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("ok", justify="center", no_wrap=True)
    for each in outcomes:
        table.add_row(
            each.request,
            each.what,
            f"{each.points}",
            f"{1e3 * each.seconds:.1f}",
            f"{each.steps / each.seconds:.0f}",
            f"{each.reused}",
            f"{each.difference:.1g} m",
            "yes" if each.agrees else "[bold red]NO[/]",
        )
    return table


def _chosen(model: MoESequenceRegressor, dataset: DatasetConfig) -> EvaluationSet:
    """One window of each of the first motions: the one whose long forecast has the median error."""
    windows = evaluation_windows(replace(dataset, prediction_length=LONG), "test", WINDOWS)
    forecast = PathForecast(model.forecast(windows.context, LONG).mean)
    return windows.select(np.array(list(median_windows(forecast, windows).values())[:MOST_MOTIONS]))


class _Demonstrator:
    """Asks a server in every way.

    Args:
        server: to be asked, by nobody else.
        windows: one of each motion.
    """

    def __init__(self, server: InferenceServer, windows: EvaluationSet) -> None:
        self._server, self._windows = server, windows
        self._labels = [windows.type_names[number] for number in windows.type_ids]
        self._outcomes: list[Outcome] = []

    async def run(self) -> Demonstration:
        """Ask for everything, one kind after the other."""
        contexts = np.asarray(self._windows.context, dtype=np.float64)
        first, name = contexts[0], self._labels[0]
        await self._at_once([_request(contexts[-1, ::-1], SHORT)])  # the first one of all warms up
        await self._ask("single", f"one {name} path", [_request(first, SHORT)])
        await self._ask("long", "twice as far", [_request(first, LONG)])
        await self._ask("again", "the same once more", [_request(first, LONG)])
        await self._ask("batched", f"{len(contexts)} paths in a request", [_request(contexts, SHORT)])
        pushes = min(PUSHES, len(first) // 2)
        what = f"{len(first) - pushes} points, then {pushes} one by one"
        for hold, how in ((0, "streamed"), (pushes, "anchor held")):
            self._note(how, what, *await _timed(self._stream(how, first, pushes, hold)))
        fans = await self._ask(
            "sampled",
            f"{len(contexts)} at once, {SAMPLES} drawn paths each",
            [_request(path, LONG, **_fan_options(seed)) for seed, path in enumerate(contexts)],
        )
        return Demonstration(tuple(self._outcomes), self._draw(fans))

    async def _ask(self, kind: str, what: str, requests: Sequence[Mapping[str, Any]]) -> list[Exchange]:
        """Send requests at once, and note how that went."""
        exchanges, seconds = await _timed(self._at_once(requests))
        self._note(kind, what, exchanges, seconds)
        return exchanges

    async def _at_once(self, requests: Sequence[Mapping[str, Any]]) -> list[Exchange]:
        answers = await asyncio.gather(*(self._server.handle_request(request) for request in requests))
        return [
            Exchange(request, answer, np.asarray(request["tokens"]))
            for request, answer in zip(requests, answers, strict=True)
        ]

    async def _stream(self, session: str, path: FloatArray, pushes: int, hold: int) -> list[Exchange]:
        """Open a session with the beginning of a path, and push the rest of it a point at a time."""
        options = {"session_id": session, "hold_points": hold}
        exchanges = []
        begin = len(path) - pushes
        for end in range(begin, len(path) + 1):
            new = path[:begin] if end == begin else path[end - 1 : end]
            words = {"session_start": end == begin, "session_end": end == len(path)}
            request = _request(new, SHORT, **options, **words)
            answer = await self._server.handle_request(request)
            last = answer["session"]["context_points"]
            exchanges.append(Exchange(request, answer, path[end - last : end]))
        return exchanges

    def _note(self, kind: str, what: str, exchanges: Sequence[Exchange], seconds: float) -> None:
        """Compare answers with the model's own forecasts, now that no clock runs."""
        differences, allowances = zip(
            *(_compare(self._server.model, each) for each in exchanges), strict=True
        )
        self._outcomes.append(
            Outcome(
                request=kind,
                what=what,
                points=sum(_points(each.answer) for each in exchanges),
                steps=sum(int(each.request["max_new_tokens"]) for each in exchanges),
                seconds=seconds,
                reused=sum(int(each.answer["reused_prefix_length"]) for each in exchanges),
                difference=max(differences),
                allowed=max(allowances),
            )
        )

    def _draw(self, fans: Sequence[Exchange]) -> Figure:
        mean, samples = (np.array([each.answer[name] for each in fans]) for name in ("mean", "samples"))
        return plot_forecast_fans(
            self._windows.context,
            self._windows.targets,
            PathForecast(mean, samples=samples),
            dt=self._windows.dt,
            labels=self._labels,
            title=f"Forecasts served by {self._server.name}: of each motion the window with the median error",
        )


def _request(points: FloatArray, horizon: int, **options: Any) -> dict[str, Any]:
    """A request as a client writes it: points are the tokens."""
    return {"tokens": points.tolist(), "max_new_tokens": horizon, **options}


def _fan_options(seed: int) -> dict[str, Any]:
    return {"temperature": TEMPERATURE, "num_samples": SAMPLES, "quantiles": [0.1, 0.9], "seed": seed}


async def _timed(work: Any) -> tuple[list[Exchange], float]:
    """What came of some work, and the seconds it took."""
    began = time.perf_counter()
    exchanges: list[Exchange] = await work
    return exchanges, time.perf_counter() - began


def _points(answer: Mapping[str, Any]) -> int:
    """Forecast points in an answer."""
    counted = np.size(answer["generated_tokens"]) + np.size(answer.get("samples", ()))
    return int(counted) // 3


def _compare(model: MoESequenceRegressor, exchange: Exchange) -> tuple[float, float]:
    """The largest difference of a coordinate from the model's own forecast, and what rounding explains."""
    request, answer = exchange.request, exchange.answer
    own = model.forecast(
        exchange.context,
        request["max_new_tokens"],
        temperature=request.get("temperature", 0.0),
        num_samples=request.get("num_samples"),
        seed=request.get("seed"),
        anchor_points=answer["session"]["anchor_points"] if "session" in answer else None,
    )
    pairs = [(answer["generated_tokens"], own.points), (answer["mean"], own.mean)]
    if own.samples is not None:
        pairs.append((answer["samples"], own.samples))
    pairs += [(values, own.quantile(float(level))) for level, values in answer.get("quantiles", {}).items()]
    difference = max(_difference(np.asarray(found, dtype=np.float64), expected) for found, expected in pairs)
    return difference, AGREEMENT * (1.0 + max(float(np.ptp(expected)) for _, expected in pairs))


def _difference(found: FloatArray, expected: FloatArray) -> float:
    """The largest of any number; infinite where there is none to compare."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max())
