"""``trajectory-3d-compare``: models beside each other, from the study to the single evaluation.

``compare`` trains and judges many configurations. ``evaluate`` is ``trajectory-3d-eval`` for a model and a
configuration by name, ``demo`` is ``trajectory-3d-demo``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from examples.trajectory_3d.cli import demo, evaluate
from examples.trajectory_3d.cli.entry import run
from examples.trajectory_3d.cli.options import parse_with_overrides
from examples.trajectory_3d.config import check_run_name
from m.config import ConfigError
from m.ray_cluster import add_ray_option

_FACTOR = 3
_DEFAULT_NAME = "comparison_study"
_EXAMPLES = """\
examples:
  trajectory-3d-compare compare
  trajectory-3d-compare compare --max-steps 100
  trajectory-3d-compare compare quick_test_3d small_3d_moe --seeds 3 --dense
  trajectory-3d-compare compare quick_test_3d --name rates --seeds 3 \\
      --grid model.router.n_experts=4,8,16 training.learning_rate=1e-3,3e-4

Repeat a command to go on with its study: what is done is not done again, what was interrupted or killed
goes on from its checkpoint. Settings of all trials can be overridden as key=value.
"""


def parser() -> argparse.ArgumentParser:
    """The command's arguments; what ``demo`` does is its default ``work``."""
    made = argparse.ArgumentParser(
        prog="trajectory-3d-compare",
        description="Train and compare models, judge one, or show what one forecasts.",
        allow_abbrev=False,
    )
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    studied = commands.add_parser(
        "compare",
        help="train, judge and compare configurations",
        description="Train and judge configurations side by side, and report on all of them together.",
        usage="trajectory-3d-compare compare [CONFIG ...] [--grid KEY=VALUE,VALUE ...] [options] "
        "[key=value ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EXAMPLES,
        allow_abbrev=False,
    )
    _add_study(studied)
    judged = commands.add_parser(
        "evaluate",
        help="judge one model, as trajectory-3d-eval does",
        description="Forecast the test stream with a trained model and with classical baselines.",
        usage="trajectory-3d-compare evaluate --model MODEL [--config CONFIG] [options] [key=value ...]",
        allow_abbrev=False,
    )
    _add_evaluation(judged)
    shown = commands.add_parser(
        "demo", help="pictures and animations of forecasts", description=demo.DESCRIPTION, allow_abbrev=False
    )
    demo.add_arguments(shown)
    shown.set_defaults(work=demo.draw)
    return made


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "configs",
        nargs="*",
        metavar="CONFIG",
        help="YAML files, or names of shipped ones such as small_3d_moe (default: every shipped one)",
    )
    parser.add_argument(
        "--grid",
        nargs="+",
        metavar="KEY=VALUE,VALUE",
        help="settings to try in every combination; lists stand in brackets",
    )
    parser.add_argument(
        "--seeds",
        metavar="N|SEED,SEED",
        help="repetitions with other weights and training windows: how many, or which (default: one, with "
        "the configuration's seed)",
    )
    parser.add_argument(
        "--max-steps", type=_positive, metavar="N", help="shorten every training to at most N steps"
    )
    parser.add_argument(
        "--dense",
        action="store_true",
        help="also train each mixture's dense partner of equal active parameters, and report the ratios",
    )
    parser.add_argument(
        "--baselines",
        metavar="NAME[,NAME...]",
        help="classical forecasters in the same tables: all, none, or names (default: last value, constant "
        "velocity, constant acceleration)",
    )
    parser.add_argument(
        "--early-stop",
        nargs="?",
        type=_reduction,
        const=_FACTOR,
        metavar="FACTOR",
        help="stop poor trials early, by successive halving (Optuna, extra [tune]): of the trials that reach "
        f"a rung the best 1/FACTOR go on, to the next at FACTOR times as many steps (default: {_FACTOR})",
    )
    parser.add_argument(
        "--parallel",
        type=_positive,
        metavar="N",
        help="trials at once, which share the cores (default: one a GPU, else one for every two cores)",
    )
    parser.add_argument(
        "--threads", type=_positive, metavar="N", help="cores of each trial (default: all cores / --parallel)"
    )
    parser.add_argument(
        "--retries",
        type=_not_negative,
        default=2,
        metavar="N",
        help="how often a trial goes on from its checkpoint after its worker died (default: 2)",
    )
    add_ray_option(
        parser, before="configurations", use="run on a Ray cluster (extra [ray]) that shares this file system"
    )
    parser.add_argument(
        "--device", default="auto", help="auto (GPUs where there are some), cpu or cuda (default: auto)"
    )
    parser.add_argument(
        "--name", default=_DEFAULT_NAME, help=f"name of the study and its folder (default: {_DEFAULT_NAME})"
    )
    parser.add_argument("--output-root", type=Path, help="folder of studies (default: outputs/trajectory_3d)")
    parser.add_argument(
        "--plan", action="store_true", help="only print what would be trained and what it would cost"
    )


def _add_evaluation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, help="checkpoint, run folder, or shipped model by folder or name"
    )
    parser.add_argument(
        "--config", help="YAML file, or name of a shipped one (default: what the model was trained on)"
    )
    evaluate.add_judgement(parser)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of 1 or more, got '{text}'")
    return int(text)


def _not_negative(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number of 0 or more, got '{text}'")
    return int(text)


def _reduction(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(
            f"a reduction factor is 2 or more, got '{text}'; name configurations before --early-stop"
        )
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    freely: dict[str, Callable[[list[str]], None]] = {"compare": _compare, "evaluate": _evaluate}
    if tokens and tokens[0] in freely:
        return run(lambda: freely[tokens[0]](tokens[1:]))
    arguments = parser().parse_args(tokens)
    return run(lambda: arguments.work(arguments))


def _subparser(name: str) -> argparse.ArgumentParser:
    """The parser of a command whose arguments and overrides may stand in any order."""
    groups = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    found: argparse.ArgumentParser = groups[0].choices[name]
    return found


def _evaluate(tokens: list[str]) -> None:
    arguments, overrides = parse_with_overrides(_subparser("evaluate"), tokens)
    from examples.trajectory_3d.study.plan import find_config  # noqa: PLC0415

    paths = [arguments.model]
    if arguments.config is not None:
        paths.append(str(find_config(arguments.config)))
    asked = argparse.Namespace(
        **{**vars(arguments), "paths": paths, "latest": False, "interactive": False, "no_model": False}
    )
    evaluate.judge(asked, overrides)


def _compare(tokens: list[str]) -> None:
    grid, rest = take_grid(tokens)
    arguments, overrides = parse_with_overrides(_subparser("compare"), rest)
    try:
        check_run_name(arguments.name)
    except ValueError as error:
        raise ConfigError(f"--name: {error}") from error
    # Imported here: torch and the rest cost seconds that --help must not.
    from examples.trajectory_3d.baselines import DEFAULT_BASELINES  # noqa: PLC0415
    from examples.trajectory_3d.run_experiments import Running, plan_lines, run_study  # noqa: PLC0415
    from examples.trajectory_3d.run_folder import OUTPUT_ROOT  # noqa: PLC0415
    from examples.trajectory_3d.study.devices import device_kind  # noqa: PLC0415
    from examples.trajectory_3d.study.grid import parse_seeds  # noqa: PLC0415
    from examples.trajectory_3d.study.plan import make_plan  # noqa: PLC0415

    named = arguments.baselines
    baselines = DEFAULT_BASELINES if named is None else tuple(name.strip() for name in named.split(","))
    plan = make_plan(
        arguments.configs,
        grid=grid,
        seeds=None if arguments.seeds is None else parse_seeds(arguments.seeds),
        overrides=overrides,
        max_steps=arguments.max_steps,
        dense=arguments.dense,
        baselines=() if baselines == ("none",) else baselines,
        early_stop=arguments.early_stop,
        device=device_kind(arguments.device),
    )
    running = Running(
        parallel=arguments.parallel,
        threads=arguments.threads,
        retries=arguments.retries,
        ray=arguments.ray,
    )
    if arguments.plan:
        print("\n".join(plan_lines(plan, running)))
        return
    path = (arguments.output_root or OUTPUT_ROOT) / arguments.name
    run_study(plan, path, running=running, say=lambda text: print(text, flush=True))


def take_grid(tokens: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the axes of ``--grid`` out of a command line: the tokens with ``=`` that follow it.

    They look like overrides, so they are taken before those are.

    Returns:
        The axes' texts, and the other tokens.

    Raises:
        ConfigError: no axis follows.
    """
    grid: list[str] = []
    rest: list[str] = []
    inside = False
    for token in tokens:
        if token == "--grid" or token.startswith("--grid="):
            if inside and not grid:
                break
            inside = True
            grid += [token.removeprefix("--grid=")] if "=" in token else []
        elif inside and "=" in token and not token.startswith("-"):
            grid.append(token)
        else:
            inside = False
            rest.append(token)
    if any(token == "--grid" for token in tokens) and not grid:
        raise ConfigError("--grid needs settings and their values, such as model.router.n_experts=4,8,16")
    return grid, rest
