"""Pages opened in a headless Chromium: a picture of one, or its elements and what the browser logged."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

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
