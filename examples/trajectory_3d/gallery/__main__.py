"""``python -m examples.trajectory_3d.gallery``: make the documentation's gallery anew."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from examples.trajectory_3d.cli.entry import run
from examples.trajectory_3d.gallery.browser import BROWSERS, find_browser
from m.config import ConfigError

# Not below the folder of runs, where its model would be the latest; and not a temporary one, whose name the
# live page would show.
_WORK = Path("outputs/trajectory_3d_gallery")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(lambda: _make(argv))


def _make(argv: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m examples.trajectory_3d.gallery",
        description="Evaluate the shipped model, train the quick one, and write docs/gallery.md with all "
        "their pictures and pages. Takes some minutes, and needs a Chromium.",
    )
    parser.add_argument("--output", type=Path, default=Path("docs"), help="of the page (default: docs)")
    parser.add_argument("--windows", type=int, default=1000, help="test windows (default: 1000)")
    arguments = parser.parse_args(argv)
    browser = find_browser()
    if browser is None:
        raise ConfigError(f"no browser to open pages with; install one of {', '.join(BROWSERS)}")
    if arguments.windows < 100:
        raise ConfigError(f"--windows: fewer than 100 say nothing, got {arguments.windows}")
    from examples.trajectory_3d.gallery.build import build_gallery  # noqa: PLC0415  (seconds of imports)

    page, images = arguments.output / "gallery.md", arguments.output / "images/gallery"
    for path in build_gallery(page, images, _WORK, windows=arguments.windows, browser=browser):
        print(path)


if __name__ == "__main__":
    raise SystemExit(main())
