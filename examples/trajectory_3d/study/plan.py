"""What a study does: every training in it, written down before the first one starts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.run_folder import config_hash
from examples.trajectory_3d.study.grid import Axis, combinations, parse_grid
from examples.trajectory_3d.study.shorten import shortened
from examples.trajectory_3d.study.work import training_flops
from m.config import ConfigError, apply_overrides, from_dict, nearest_hint, read_yaml, to_dict
from m.routing.config import RouterConfig

CONFIGS = Path(__file__).parents[1] / "configs"
DENSE, MOE = "dense", "MoE"
_LONGEST_LABEL, _LONGEST_VALUE = 60, 24  # characters of a configuration's name, and of a grid's value
# Which training windows are drawn, and by whom, not what the test windows are like.
_TRAINING_ONLY = frozenset({"seed", "num_workers"})


@dataclass(frozen=True)
class Trial:
    """One training of a study.

    Attributes:
        name: of the trial and of its run folder.
        arm: what the trial is one repetition of: its name without the seed.
        config: name of the configuration it comes from.
        changes: settings that the grid gave it, key -> YAML text.
        seed: of weights and training stream.
        partner: name of the dense trial of equal active parameters and seed; None without.
        experiment: all settings.
    """

    name: str
    arm: str
    config: str
    changes: Mapping[str, str]
    seed: int
    partner: str | None
    experiment: ExperimentConfig

    @property
    def kind(self) -> str:
        """``dense`` or ``MoE``."""
        return DENSE if self.experiment.model.router.is_dense else MOE

    @property
    def data(self) -> str:
        """Fingerprint of the test windows: errors in metres compare only where it is equal."""
        return data_hash(self.experiment)


@dataclass(frozen=True)
class BaselineJob:
    """Classical forecasters on one kind of test windows.

    Attributes:
        name: of the job and of its folder.
        data: fingerprint of the windows, as `Trial.data`.
        baselines: their names.
        experiment: says which data.
    """

    name: str
    data: str
    baselines: tuple[str, ...]
    experiment: ExperimentConfig


@dataclass(frozen=True)
class StudyPlan:
    """All of a study's work, and how it is decided upon.

    Attributes:
        trials: in the order in which they start.
        baselines: one job for each kind of test windows; empty when none were asked for.
        early_stop: reduction factor of successive halving; None without.
        device: kind of device to train on.
        max_steps: what trainings were shortened to; None when they were not.
    """

    trials: tuple[Trial, ...]
    baselines: tuple[BaselineJob, ...]
    early_stop: int | None
    device: str
    max_steps: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain content; equal plans give equal content."""
        return {
            "device": self.device,
            "early_stop": self.early_stop,
            "max_steps": self.max_steps,
            "trials": [
                {
                    "name": trial.name,
                    "arm": trial.arm,
                    "config": trial.config,
                    "changes": dict(trial.changes),
                    "seed": trial.seed,
                    "partner": trial.partner,
                    "experiment": to_dict(trial.experiment),
                }
                for trial in self.trials
            ],
            "baselines": [
                {
                    "name": job.name,
                    "data": job.data,
                    "baselines": list(job.baselines),
                    "experiment": to_dict(job.experiment),
                }
                for job in self.baselines
            ],
        }


def trial_from_json(content: Mapping[str, Any], source: str) -> Trial:
    """Read one trial of `StudyPlan.to_json`.

    Raises:
        ConfigError: its settings are refused.
    """
    experiment = from_dict(ExperimentConfig, content["experiment"], source=f"{source}, {content['name']}")
    return Trial(**{**content, "experiment": experiment})


def baselines_from_json(content: Mapping[str, Any], source: str) -> BaselineJob:
    """Read one job of `StudyPlan.to_json`.

    Raises:
        ConfigError: its settings are refused.
    """
    experiment = from_dict(ExperimentConfig, content["experiment"], source=f"{source}, {content['name']}")
    return BaselineJob(
        **{**content, "baselines": tuple(content["baselines"]), "experiment": experiment},
    )


def data_hash(experiment: ExperimentConfig) -> str:
    """Fingerprint of the test windows of an experiment."""
    dataset = {key: value for key, value in to_dict(experiment.dataset).items() if key not in _TRAINING_ONLY}
    return config_hash({"dataset": dataset, "test_windows": experiment.evaluation.test_windows})


def shipped_configs() -> dict[str, Path]:
    """Configurations that come with the package and need nothing else, by name.

    Those that begin with a trained model or read recordings are for `trajectory-3d-train`, where both are
    named.
    """
    return {path.stem: path for path in sorted(CONFIGS.glob("*.yaml")) if _stands_alone(read_yaml(path))}


def _stands_alone(content: Mapping[str, Any]) -> bool:
    source = content.get("dataset", {}).get("source", "motions")
    return content.get("init_from") is None and source == "motions"


def find_config(name: str) -> Path:
    """The file that a user means: a path, or the name of a shipped configuration.

    Raises:
        ConfigError: neither; names the nearest.
    """
    known = shipped_configs()
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.exists():
        return path  # a missing file is reported when it is read
    raise ConfigError(f"no configuration '{name}'{nearest_hint(name, known)}, or name a YAML file")


def make_plan(
    configs: Sequence[str] = (),
    *,
    grid: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    overrides: Sequence[str] = (),
    max_steps: int | None = None,
    dense: bool = False,
    baselines: Sequence[str] = (),
    early_stop: int | None = None,
    device: str = "cpu",
) -> StudyPlan:
    """Write down every trial of a study, each validated.

    Args:
        configs: paths or names of shipped configurations; all of those without any.
        grid: ``key=value,value`` texts; their product multiplies every configuration.
        seeds: of the repetitions; None takes each configuration's own, once.
        overrides: ``key=value`` texts for every trial.
        max_steps: shortens every training to at most so many steps.
        dense: also train each mixture's dense partner of equal active parameters.
        baselines: names of classical forecasters that stand in the same tables.
        early_stop: reduction factor of successive halving; None runs every trial to its end.
        device: kind of device to train on.

    Raises:
        ConfigError: a configuration, a key or a value is refused; nothing has been run.
    """
    axes = parse_grid(grid)
    _refuse_contradictions(axes, overrides, max_steps)
    paths = [find_config(name) for name in configs] or list(shipped_configs().values())
    labels = _distinct([_slug(path.stem, _LONGEST_LABEL) for path in paths])
    tails = _tails([axis.key for axis in axes])
    trials: list[Trial] = []
    for path, label in zip(paths, labels, strict=True):
        content = read_yaml(path)
        content = content if max_steps is None else shortened(content, max_steps)
        for changes in combinations(axes):
            settings = [*overrides, *(f"{key}={text}" for key, text in changes.items())]
            experiment = from_dict(
                ExperimentConfig, apply_overrides(content, settings), source=_source(path, settings)
            )
            arm = "-".join([label, *(f"{tails[key]}{_slug(text)}" for key, text in changes.items())])
            for seed in seeds if seeds is not None else [experiment.training.seed]:
                seeded = experiment if seeds is None else _seeded(experiment, seed)
                trials += _with_partner(Trial(arm, arm, label, changes, seed, None, seeded), dense)
    trials = _named(_without_repeats(trials))
    if not configs:
        trials.sort(key=training_flops)  # the first results come soon, those of the largest last
    return StudyPlan(tuple(trials), _baseline_jobs(trials, baselines), early_stop, device, max_steps)


def _refuse_contradictions(axes: Sequence[Axis], overrides: Sequence[str], max_steps: int | None) -> None:
    given = {override.partition("=")[0].lstrip("-") for override in overrides}
    for axis in axes:
        if axis.key in given:
            raise ConfigError(f"{axis.key} stands both in --grid and as an override; give one of them")
    for key in ("training.seed", "dataset.seed"):
        if key in given:
            raise ConfigError(f"{key} is what --seeds sets; use --seeds")
    if max_steps is not None and "training.max_steps" in {*given, *(axis.key for axis in axes)}:
        raise ConfigError("--max-steps and training.max_steps say the same thing; give one of them")


def _source(path: Path, settings: Sequence[str]) -> str:
    return f"{path} with {' '.join(settings)}" if settings else str(path)


def _seeded(experiment: ExperimentConfig, seed: int) -> ExperimentConfig:
    return replace(
        experiment,
        training=replace(experiment.training, seed=seed),
        dataset=replace(experiment.dataset, seed=seed),
    )


def _with_partner(trial: Trial, dense: bool) -> list[Trial]:
    model = trial.experiment.model
    if not dense or model.router.is_dense:
        return [trial]
    # Only top_k decides how wide a dense layer is. All else of the router at its defaults, so that mixtures
    # which differ there alone share one partner.
    router = RouterConfig(kind=DENSE, n_experts=model.router.top_k, top_k=model.router.top_k)
    # Experts that do not exist cannot be tied.
    dense_model = replace(model, router=router, experts=replace(model.experts, tied_steps=0))
    arm = f"{trial.arm}-{DENSE}"
    partner = replace(trial, name=arm, arm=arm, experiment=replace(trial.experiment, model=dense_model))
    return [replace(trial, partner=arm), partner]


def _without_repeats(trials: Sequence[Trial]) -> list[Trial]:
    """Trials of different settings, or names: a dense partner that several mixtures share is trained once."""
    kept: list[Trial] = []
    seen: dict[str, str] = {}
    taken: dict[str, str] = {}
    for trial in trials:
        settings = config_hash({**to_dict(trial.experiment), "name": ""})
        if not trial.experiment.model.router.is_dense or settings not in seen:
            seen.setdefault(settings, trial.arm)
            kept.append(trial)
        elif seen[settings] != trial.arm:
            taken[trial.arm] = seen[settings]
    return [
        replace(trial, partner=taken.get(trial.partner, trial.partner)) if trial.partner else trial
        for trial in kept
    ]


def _named(trials: Sequence[Trial]) -> list[Trial]:
    """Give every trial its name, in its experiment too, and the name of its partner."""
    counts = Counter((trial.arm, trial.seed) for trial in trials)
    doubled = [arm for (arm, _), count in counts.items() if count > 1]
    if doubled:
        raise ConfigError(
            f"two trials would be called {doubled[0]}; their settings differ too little in name"
        )

    def named(trial: Trial) -> Trial:
        name = f"{trial.arm}-seed{trial.seed}"
        partner = None if trial.partner is None else f"{trial.partner}-seed{trial.seed}"
        return replace(trial, name=name, partner=partner, experiment=replace(trial.experiment, name=name))

    return [named(trial) for trial in trials]


def _baseline_jobs(trials: Sequence[Trial], names: Sequence[str]) -> tuple[BaselineJob, ...]:
    if not names:
        return ()
    jobs: dict[str, BaselineJob] = {}
    for trial in trials:
        data = trial.data
        # Of the experiment only data and judgement matter; the first trial's stands for all of its kind.
        jobs.setdefault(data, BaselineJob(f"baselines-{data}", data, tuple(names), trial.experiment))
    return tuple(jobs.values())


def _tails(keys: Sequence[str]) -> dict[str, str]:
    """The shortest ends of dotted keys that tell them apart: ``model.router.n_experts`` -> ``n_experts``."""
    result = {}
    for key in keys:
        parts = key.split(".")
        ends = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        others = [other for other in keys if other != key]
        result[key] = next(
            (end for end in ends if not any(o == end or o.endswith("." + end) for o in others)), key
        )
    return result


def _distinct(labels: Sequence[str]) -> list[str]:
    """Number those that occur more than once: ``a``, ``a`` -> ``a``, ``a_2``."""
    seen: Counter[str] = Counter()
    result = []
    for label in labels:
        seen[label] += 1
        result.append(label if seen[label] == 1 else f"{label}_{seen[label]}")
    return result


def _slug(text: str, longest: int = _LONGEST_VALUE) -> str:
    """A text as part of a folder's name; what had to be left out is replaced by a fingerprint."""
    plain = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._-]+", "_", text)).strip("._-") or "x"
    if plain != text or len(plain) > longest:
        plain = f"{plain[:longest].rstrip('._-')}_{config_hash({'text': text})[:4]}"
    return plain
