"""The files of a prediction, one after the other here or as tasks of a Ray cluster: the same results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from examples.trajectory_3d.recordings.prediction import FilePrediction, PredictionJob, predict_file
from examples.trajectory_3d.recordings.prediction_parts import Parts, to_bytes

# A file's path, what became of it, and that as a part where it came as one; in the order in which they end.
Ended = Generator[tuple[str, FilePrediction, bytes | None]]


@dataclass(frozen=True)
class PredictionRun:
    """All files, done.

    Attributes:
        files: in the order in which they were named.
        kept: where results of files lie that are in `files`.
    """

    files: tuple[FilePrediction, ...]
    kept: tuple[Path, ...]

    @property
    def failed(self) -> bool:
        """Whether a file could not be read or worked on."""
        return any(each.error is not None for each in self.files)


def run_prediction(
    paths: Sequence[str],
    job: PredictionJob,
    *,
    parts: Parts | None = None,
    ray: str | None = None,
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
) -> PredictionRun:
    """Do the job with every file; what was kept of an earlier run is not done again.

    Args:
        paths: each once.
        job: what to do.
        parts: where results are kept as soon as they are there; None keeps none.
        ray: address of a Ray cluster; None does the work here.
        say: told how far a run with parts is.

    Raises:
        ConfigError: the model cannot be used, Ray is not installed, or no cluster is there.
        CheckpointError: the model cannot be loaded.
        ClusterLostError: the cluster went away; with parts, what was done is kept.
    """
    places = {} if parts is None else _places(parts, paths)
    done = {} if parts is None else _found(parts, places)
    if parts is not None and done:
        say(f"taken up from {parts.folder}: {len(done)} of {len(paths)} files")
    kept = [places[path] for path in done]
    waiting = [path for path in paths if path not in done]
    with closing(_results(waiting, job, ray)) as results:
        for path, found, content in results:
            done[path] = found
            if parts is not None and path in places and found.error is None:
                parts.keep(places[path], to_bytes(found) if content is None else content)
                kept.append(places[path])
    return PredictionRun(tuple(done[path] for path in paths), tuple(kept))


def _results(paths: Sequence[str], job: PredictionJob, ray: str | None) -> Ended:
    if ray is None or not paths:
        return ((path, predict_file(path, job), None) for path in paths)
    from examples.trajectory_3d.recordings.prediction_on_ray import predict_on_ray  # noqa: PLC0415

    return predict_on_ray(paths, job, ray)


def _places(parts: Parts, paths: Sequence[str]) -> dict[str, Path]:
    places = {}
    for path in paths:
        try:
            places[path] = parts.place(path)
        except OSError:  # the work itself tells what is wrong with the file
            continue
    return places


def _found(parts: Parts, places: dict[str, Path]) -> dict[str, FilePrediction]:
    found = {path: parts.find(place) for path, place in places.items()}
    return {path: each for path, each in found.items() if each is not None}
