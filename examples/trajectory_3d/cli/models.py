"""``trajectory-3d-models``: what has been trained; export it, or remove it."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.trajectory_3d.cli.entry import run
from examples.trajectory_3d.cli.printing import PIPED_WIDTH, print_json, show
from m.config import ConfigError

if TYPE_CHECKING:
    from examples.trajectory_3d.model_pruning import Removal
    from examples.trajectory_3d.run_metadata import RunInfo

_SORT_KEYS = ("name", "when", "error", "gn", "size", "steps", "parameters")
_STATUSES = "running, finished, interrupted, failed, exported, checkpoint, unknown, corrupt, foreign"
_NAME_HELP = "run, path below a root, path, or shipped model such as trajectory-3d (default: the newest)"


class PruneError(RuntimeError):
    """Something could not be removed; the rest was."""


def parser() -> argparse.ArgumentParser:
    """The command's arguments; what a subcommand does is its default ``work``."""
    made = argparse.ArgumentParser(
        prog="trajectory-3d-models",
        description="List trained models, look into one, export it, or remove old runs.",
        allow_abbrev=False,
    )
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listed = _command(commands, "list", "all models, newest first", _list)
    listed.add_argument("--sort", choices=_SORT_KEYS, default="when", help="default: when, newest first")
    listed.add_argument(
        "--reverse", action="store_true", help="the other way round; missing values stay last"
    )
    listed.add_argument("--status", metavar="STATUS[,STATUS...]", help=f"only these: {_STATUSES}")
    listed.add_argument("--json", action="store_true", help="as JSON")
    _command(commands, "latest", "path of the newest model, for use in a shell", _latest)
    details = _command(commands, "details", "everything about one model", _details)
    details.add_argument("name", nargs="?", metavar="NAME", help=_NAME_HELP)
    details.add_argument("--json", action="store_true", help="as JSON")
    _command(commands, "interactive", "choose a model from the list", _interactive)
    _add_export(_command(commands, "export", "write safetensors and configuration", _export))
    _add_prune(_command(commands, "prune", "remove runs, or parts of them; asks first", _prune))
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    arguments = parser().parse_args(argv)
    return run(lambda: arguments.work(arguments))


def _command(commands: Any, name: str, text: str, work: Any) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    made.add_argument(
        "--root",
        type=Path,
        action="append",
        metavar="FOLDER",
        help="where to look, may be repeated (default: outputs/trajectory_3d)",
    )
    made.set_defaults(work=work)
    return made


def _add_export(made: argparse.ArgumentParser) -> None:
    made.add_argument("name", metavar="NAME", help=_NAME_HELP.partition(" (default")[0])
    made.add_argument("--output", type=Path, metavar="FOLDER", help="default: exports/NAME")
    made.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    made.add_argument("--force", action="store_true", help="write over an earlier export")


def _add_prune(made: argparse.ArgumentParser) -> None:
    made.add_argument("names", nargs="*", metavar="NAME", help="only these runs")
    made.add_argument(
        "--status", metavar="STATUS[,STATUS...]", help="only finished, interrupted, failed, unknown"
    )
    made.add_argument("--older-than", metavar="AGE", help="only runs last written before 12h, 30d or 2w")
    made.add_argument("--keep", type=int, metavar="N", help="keep N of the runs, remove the others")
    made.add_argument(
        "--keep-by", choices=("newest", "error", "gn"), default="newest", help="which N to keep"
    )
    made.add_argument(
        "--what",
        choices=("run", "states", "visualizations"),
        default="run",
        help="the whole run (default), only what a resume needs, or only the pictures",
    )
    made.add_argument("--dry-run", action="store_true", help="show what would be removed")
    made.add_argument("--yes", action="store_true", help="do not ask")


def _roots(arguments: argparse.Namespace) -> list[Path]:
    from examples.trajectory_3d.run_folder import OUTPUT_ROOT  # noqa: PLC0415

    if arguments.root is None:
        return [OUTPUT_ROOT]
    for root in arguments.root:
        if not root.is_dir():
            raise ConfigError(f"--root {root}: no such folder")
    return list(arguments.root)


def _statuses(text: str | None, known: Sequence[str]) -> list[str]:
    from m.config import nearest_hint  # noqa: PLC0415

    names = [] if text is None else [name.strip() for name in text.split(",") if name.strip()]
    if text is not None and not names:
        raise ConfigError(f"--status names none of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise ConfigError(f"--status {name}: no such status{nearest_hint(name, known)}")
    return names


def _list(arguments: argparse.Namespace) -> None:
    from examples.trajectory_3d.model_json import list_json  # noqa: PLC0415
    from examples.trajectory_3d.model_scan import no_models, scan  # noqa: PLC0415
    from examples.trajectory_3d.model_table import list_table, ordered  # noqa: PLC0415

    statuses = _statuses(arguments.status, _STATUSES.split(", "))
    roots = _roots(arguments)
    everything = scan(roots)
    infos = [info for info in everything if not statuses or info.status in statuses]
    infos = ordered(infos, arguments.sort, reverse=arguments.reverse)
    if arguments.json:
        print_json(list_json(infos))
    elif infos:
        show(list_table(infos, shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED_WIDTH))
    elif everything:
        print(f"none of the {len(everything)} models is {' or '.join(statuses)}")
    else:
        print(no_models(roots))


def _latest(arguments: argparse.Namespace) -> None:
    from examples.trajectory_3d.model_scan import find  # noqa: PLC0415

    print(find(None, _roots(arguments)).path)


def _details(arguments: argparse.Namespace) -> None:
    from examples.trajectory_3d.model_json import details_json  # noqa: PLC0415
    from examples.trajectory_3d.model_scan import find  # noqa: PLC0415
    from examples.trajectory_3d.model_table import details_text  # noqa: PLC0415

    info = find(arguments.name, _roots(arguments))
    if arguments.json:
        print_json(details_json(info))
    else:
        show(details_text(info))


def _interactive(arguments: argparse.Namespace) -> None:
    from examples.trajectory_3d.cli.chooser import choose  # noqa: PLC0415
    from examples.trajectory_3d.model_scan import no_models, scan  # noqa: PLC0415
    from examples.trajectory_3d.model_table import details_text, one_line  # noqa: PLC0415

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("interactive asks at a terminal, and there is none; use list and details NAME")
    roots = _roots(arguments)
    infos = scan(roots)
    if not infos:
        raise ConfigError(no_models(roots))
    while (place := choose("Which model?", [one_line(info) for info in infos])) is not None:
        info = infos[place]
        actions = ("details", "path", "export to exports/", "back to the list")
        while (action := choose(info.name, actions)) in (0, 1, 2):
            if action == 0:
                show(details_text(info))
            elif action == 1:
                print(info.path)
            else:
                run(lambda info=info: _write_export(info, None, "float32", force=False))  # type: ignore[misc]
        if action is None:
            return


def _export(arguments: argparse.Namespace) -> None:
    from examples.trajectory_3d.model_scan import find  # noqa: PLC0415

    info = find(arguments.name, _roots(arguments))
    _write_export(info, arguments.output, arguments.dtype, force=arguments.force)


def _write_export(info: RunInfo, output: Path | None, dtype: str, *, force: bool) -> None:
    from examples.trajectory_3d.model_export import default_folder, export_model  # noqa: PLC0415

    folder = export_model(info, output or default_folder(info), dtype=dtype, force=force)
    print(f"{info.model_file} -> {folder}")


def _prune(arguments: argparse.Namespace) -> None:
    from examples.trajectory_3d.model_pruning import plan, remove  # noqa: PLC0415

    roots = _roots(arguments)
    removals = plan(_to_prune(arguments, roots), roots, arguments.what)
    if not removals:
        print("nothing to remove")
        return
    _show_removals(removals)
    if arguments.dry_run:
        print("dry run: nothing was removed")
        return
    if not (arguments.yes or _agreed()):
        print("nothing was removed")
        return
    problems = [problem for removal in removals for problem in remove(removal)]
    if problems:
        raise PruneError("not removed: " + "; ".join(problems))
    print("removed")


def _to_prune(arguments: argparse.Namespace, roots: list[Path]) -> list[RunInfo]:
    from examples.trajectory_3d.model_pruning import chosen, seconds_of  # noqa: PLC0415
    from examples.trajectory_3d.model_scan import find, scan  # noqa: PLC0415
    from examples.trajectory_3d.model_table import SORT_KEYS  # noqa: PLC0415

    known = ("finished", "interrupted", "failed", "unknown")
    statuses = _statuses(arguments.status, known)
    older = None if arguments.older_than is None else seconds_of(arguments.older_than)
    if arguments.keep is not None and arguments.keep < 0:
        raise ConfigError(f"--keep takes a number from 0, got {arguments.keep}")
    if not (arguments.names or statuses or older is not None or arguments.keep is not None):
        if arguments.what == "run":
            raise ConfigError("say what to remove: NAMEs, --status, --older-than or --keep N")
        statuses = ["finished"]

    def rank(info: RunInfo) -> float:
        key = "when" if arguments.keep_by == "newest" else arguments.keep_by
        value = SORT_KEYS[key](info)
        return float("inf") if value is None else float(value)

    infos = [find(name, roots) for name in dict.fromkeys(arguments.names)] or scan(roots)
    found = chosen(infos, statuses=statuses, older_than=older, keep=arguments.keep or 0, rank=rank)
    for info in infos if arguments.names else ():
        if not chosen([info]):
            print(f"left alone: {info.path} ({info.kind}, {info.status})", file=sys.stderr)
    return found


def _show_removals(removals: Sequence[Removal]) -> None:
    from examples.trajectory_3d.model_table import bytes_text  # noqa: PLC0415

    for removal in removals:
        names = ", ".join(path.name for path in removal.paths)
        print(f"{bytes_text(removal.size_bytes):>8}  {removal.info.path}  ({removal.info.status}): {names}")
    print(f"{bytes_text(sum(each.size_bytes for each in removals)):>8}  in all, of {len(removals)} runs")


def _agreed() -> bool:
    """Ask.

    Raises:
        ConfigError: there is no terminal to ask at.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("prune asks at a terminal, and there is none; say --yes, or --dry-run to look")
    try:
        return input("Remove this for good? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
