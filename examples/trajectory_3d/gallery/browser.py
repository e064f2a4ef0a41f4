"""Pages opened in a headless Chromium: a picture of one, or its elements and what the browser logged."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_MILLISECONDS = 20_000  # of the page's own clock, which runs ahead while nothing happens
_TIMEOUT_SECONDS = 180
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=swiftshader",  # draws 3-D views without a graphics card
    "--enable-unsafe-swiftshader",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--enable-logging=stderr",
    f"--virtual-time-budget={PATIENCE_MILLISECONDS}",
)


_TALLEST = 9000  # pixels of a page
_MARGIN = 24  # pixels left below what is shown


def find_browser() -> str | None:
    """Path of the first Chromium that is installed under a usual name."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def picture_of(address: str, path: Path, *, browser: str, width: int = 1360, height: int = 1000) -> Path:
    """Write what a window of that size, in pixels, shows of a page once its scripts have settled.

    A page that keeps a connection open never settles.

    Raises:
        RuntimeError: the browser failed or wrote nothing.
    """
    _run(browser, f"--window-size={width},{height}", f"--screenshot={path.absolute()}", address)
    if not path.is_file():
        raise RuntimeError(f"the browser {browser} wrote no picture of {address}")
    return path


def whole_picture_of(address: str, path: Path, *, browser: str, width: int = 1360) -> Path:
    """Write all of a page, however tall it is.

    Raises:
        RuntimeError: the browser failed, or the page is taller than any picture is worth.
    """
    picture_of(address, path, browser=browser, width=width, height=_TALLEST)
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    cut = cut_foot(picture)
    if cut.height == picture.height:
        raise RuntimeError(f"{address} is taller than {_TALLEST} pixels")
    cut.save(path)
    return path


def cut_foot(picture: Image.Image) -> Image.Image:
    """The picture without what is of one colour at its foot, but for a margin."""
    rows = np.asarray(picture)  # [height, width, 3]
    shown = np.flatnonzero((rows != rows[-1, -1]).any(axis=(1, 2)))
    height = int(shown[-1]) + 1 + _MARGIN if len(shown) else 0
    return picture.crop((0, 0, picture.width, min(max(height, 1), picture.height)))


def elements_of(address: str, *, browser: str) -> tuple[str, str]:
    """The page's elements after its scripts ran, as HTML, and what the browser logged.

    Raises:
        RuntimeError: the browser failed.
    """
    return _run(browser, "--dump-dom", address)


def _run(browser: str, *arguments: str) -> tuple[str, str]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, *_OPTIONS, f"--user-data-dir={profile}", *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise RuntimeError(f"the browser {browser} could not show a page: {error}") from error
    return done.stdout, done.stderr
