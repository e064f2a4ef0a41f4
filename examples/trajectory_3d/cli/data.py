"""``trajectory-3d-data``: look into recordings, convert them, and split them for training."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.trajectory_3d.cli.entry import run
from examples.trajectory_3d.cli.printing import print_json, show
from examples.trajectory_3d.cli.read_options import add_read_options, read_options
from m.config import ConfigError

if TYPE_CHECKING:
    from examples.trajectory_3d.recordings.converting import Conversion
    from examples.trajectory_3d.recordings.inspecting import Inspection, Unread

_INSPECT = """examples:
  trajectory-3d-data inspect flight.csv
  trajectory-3d-data inspect recordings/ --json
  trajectory-3d-data inspect walk.csv --rate 100 --position px,py,pz --unit mm --picture walk.png"""
_CONVERT = """examples:
  trajectory-3d-data convert orbit.sp3 --out orbit.csv
  trajectory-3d-data convert flights/ --to parquet --out converted/
  trajectory-3d-data convert gps.csv --out even.csv --resample 5 --method cubic --longest-gap 2"""
_SPLIT = """examples:
  trajectory-3d-data split recordings/ --out dataset --fractions 0.8,0.1,0.1 --seed 1
  trajectory-3d-data split ship.csv --out dataset --by time --embargo 60"""


class SomeFailedError(RuntimeError):
    """Some of the files could not be read; the others were."""


def parser() -> argparse.ArgumentParser:
    """The command's arguments; what a subcommand does is its default ``work``."""
    made = argparse.ArgumentParser(
        prog="trajectory-3d-data",
        description="Look into recordings of motion, convert them, and split them for training.",
        epilog="Each command has --help with examples.",
        allow_abbrev=False,
    )
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_inspect(_command(commands, "inspect", "what is in recordings, and what is odd in them", _INSPECT))
    _add_convert(_command(commands, "convert", "write recordings in another format or rate", _CONVERT))
    _add_split(_command(commands, "split", "training, validation and test parts as Parquet", _SPLIT))
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    arguments = parser().parse_args(argv)
    return run(lambda: arguments.work(arguments))


def _command(commands: Any, name: str, text: str, epilog: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files, or folders of files")
    return made


def _add_inspect(made: argparse.ArgumentParser) -> None:
    made.set_defaults(work=_inspect)
    made.add_argument("--all", action="store_true", help="show every track, however many there are")
    made.add_argument("--json", action="store_true", help="as JSON: every number of every track")
    made.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw path, coordinates and clock (.png, .svg or .pdf)"
    )
    add_read_options(made)


def _add_convert(made: argparse.ArgumentParser) -> None:
    made.set_defaults(work=_convert)
    made.add_argument("--to", metavar="FORMAT", help="format to write (default: by the suffix of --out)")
    made.add_argument(
        "--out",
        type=Path,
        metavar="FILE|FOLDER",
        help="one file for all tracks, or a folder for a file each (default: beside the files read)",
    )
    made.add_argument("--force", action="store_true", help="write over files that are there")
    group = made.add_argument_group("changing", "by default samples stay as they are")
    group.add_argument(
        "--mend",
        choices=("none", "safe", "outliers"),
        help="safe: sort, drop what has no position or repeats a stamp; outliers: these too "
        "(default: none, with --resample safe)",
    )
    group.add_argument("--resample", metavar="HZ", help="points a second, or native for the track's own rate")
    group.add_argument("--method", choices=("linear", "cubic"), help="of interpolation (default: linear)")
    group.add_argument(
        "--longest-gap",
        type=float,
        metavar="SECONDS",
        help="a longer gap begins a new piece (default: 3 native steps)",
    )
    group.add_argument(
        "--smooth", type=float, metavar="SECONDS", help="window of a Savitzky-Golay filter (default: none)"
    )
    group.add_argument("--split-jumps", action="store_true", help="begin a new piece where a track jumps")
    add_read_options(made)


def _add_split(made: argparse.ArgumentParser) -> None:
    made.set_defaults(work=_split)
    made.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new or empty")
    made.add_argument(
        "--fractions",
        default="0.8,0.1,0.1",
        metavar="A,B,C",
        help="training, validation, test (default: %(default)s)",
    )
    made.add_argument(
        "--by",
        choices=("track", "file", "time"),
        default="track",
        help="whole tracks, all tracks of a file together, or each track cut in time (default: track)",
    )
    made.add_argument("--seed", type=int, default=0, help="of the order of tracks (default: 0)")
    made.add_argument(
        "--embargo",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="with --by time, what goes to no part after each cut: the length of a window (default: 0)",
    )
    add_read_options(made)


def _inspect(arguments: argparse.Namespace) -> None:
    options = read_options(arguments)
    # Imported here, as below: SciPy and rich cost tenths of a second that --help must not.
    from examples.trajectory_3d.recordings.inspecting import Unread, as_json, inspect_all  # noqa: PLC0415
    from examples.trajectory_3d.recordings.inspection_text import inspection_text  # noqa: PLC0415

    if arguments.picture is not None:
        _check_picture(arguments.picture)
    seen: list[Inspection] = []
    unread: list[Unread] = []
    for found in _found(inspect_all(arguments.paths, options, views=arguments.picture is not None)):
        if isinstance(found, Unread):
            unread.append(found)
            continue
        seen.append(found)
        if not arguments.json:
            show(inspection_text(found, everything=arguments.all))
    if arguments.json:
        rest = [{"path": str(each.path), "reason": each.reason, "failed": each.failed} for each in unread]
        print_json({"files": [as_json(each) for each in seen], "unread": rest})
    for picture in _pictures(seen, arguments.picture):
        print(picture, file=sys.stderr if arguments.json else sys.stdout)
    _tell(unread, read=len(seen))


def _convert(arguments: argparse.Namespace) -> None:
    options, conversion = read_options(arguments), _conversion(arguments)
    from examples.trajectory_3d.recordings.conversion_run import convert_files  # noqa: PLC0415
    from examples.trajectory_3d.recordings.findings import counted  # noqa: PLC0415
    from examples.trajectory_3d.recordings.writers import write  # noqa: PLC0415

    def done(path: Path, tracks: int, samples: int) -> None:
        print(f"{path}: {counted(tracks, 'track')}, {samples} samples")

    unread = convert_files(
        _existing(arguments.paths),
        options,
        conversion,
        to=arguments.to,
        out=arguments.out,
        force=arguments.force,
        write=write,
        done=done,
    )
    _tell(unread, read=None)


def _conversion(arguments: argparse.Namespace) -> Conversion:
    from examples.trajectory_3d.recordings.converting import Conversion  # noqa: PLC0415

    rate: Any = arguments.resample
    if rate is not None and rate != "native":
        try:
            rate = float(rate)
        except ValueError:
            rate = float("nan")
        if not 0 < rate < float("inf"):
            raise ConfigError(f"--resample takes points a second, or native; got {arguments.resample!r}")
    for option in ("longest_gap", "smooth"):
        value = getattr(arguments, option)
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"--{option.replace('_', '-')} takes seconds above 0, got {value}")
    if rate is None and arguments.method is not None:
        raise ConfigError("--method is for --resample")
    try:
        return Conversion(
            mending=arguments.mend or ("none" if rate is None else "safe"),
            resample=rate,
            method=arguments.method or "linear",
            longest_gap=arguments.longest_gap,
            smooth=arguments.smooth,
            split_jumps=arguments.split_jumps,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _split(arguments: argparse.Namespace) -> None:
    options, fractions = read_options(arguments), _fractions(arguments.fractions)
    from examples.trajectory_3d.recordings.findings import counted  # noqa: PLC0415
    from examples.trajectory_3d.recordings.inspecting import readable  # noqa: PLC0415
    from examples.trajectory_3d.recordings.splitting import Split, split_files  # noqa: PLC0415
    from examples.trajectory_3d.recordings.writers import write  # noqa: PLC0415

    split = Split(fractions=fractions, by=arguments.by, seed=arguments.seed, embargo=arguments.embargo)
    found, unread = readable(_existing(arguments.paths), options)
    if any(each.failed for each in unread) or not found:
        _tell(unread, read=len(found))
    plan = split_files(found, options, split, arguments.out, write)
    for part, content in plan["parts"].items():
        print(f"{part}: {counted(len(content['tracks']), 'track')}, {content['samples']} samples")
    if plan["dropped_by_embargo"]:
        print(f"embargo: {plan['dropped_by_embargo']} samples in no part")
    print(arguments.out / "split.json")
    _tell(unread, read=len(found))


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--fractions takes three numbers with commas between, got {text!r}") from error
    return first, second, third


def _existing(paths: Sequence[Path]) -> list[Path]:
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path}: no such file or folder")
    return list(paths)


def _found(inspections: Any) -> Any:
    try:
        yield from inspections
    except FileNotFoundError as error:
        raise ConfigError(f"{error}: no such file or folder") from error


def _check_picture(path: Path) -> None:
    if path.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise ConfigError(f"--picture {path}: its suffix must be .png, .svg or .pdf")


def _pictures(seen: Sequence[Inspection], path: Path | None) -> list[Path]:
    """Draw each file; of several each into a picture with its name."""
    seen = [each for each in seen if each.views]
    if path is None or not seen:
        return []
    from examples.trajectory_3d.recordings.converting import file_names  # noqa: PLC0415
    from examples.trajectory_3d.recordings.inspection_picture import save  # noqa: PLC0415

    if len(seen) == 1:
        return [save(seen[0], path)]
    names = file_names([each.path for each in seen])
    return [save(each, path.with_stem(f"{path.stem}-{name}")) for each, name in zip(seen, names, strict=True)]


def _tell(unread: Sequence[Unread], read: int | None) -> None:
    """Name what was not read.

    Raises:
        SomeFailedError: some of it should have been.
    """
    for each in unread:
        if not each.failed:
            print(f"skipped: {each.reason}", file=sys.stderr)
    failed = [each.reason for each in unread if each.failed]
    if failed:
        raise SomeFailedError("\nerror: ".join(failed))
    if read == 0:
        raise SomeFailedError("no recordings there")
