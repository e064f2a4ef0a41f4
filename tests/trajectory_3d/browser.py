"""Pages opened in a headless Chromium."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    return found


def open_in_browser(address: str, profile: Path) -> tuple[str, str]:
    """The page's elements after its script ran, and what the browser logged."""
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--use-gl=swiftshader"]
    command += ["--enable-unsafe-swiftshader", "--no-first-run", "--disable-background-networking"]
    command += [
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
        f"--user-data-dir={profile}",
    ]
    command += ["--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


def assert_no_console_error(log: str) -> None:
    console = [line for line in log.splitlines() if "CONSOLE" in line]
    wrong = [line for line in console if re.search(r"ERROR|Uncaught|Error:|Failed to load", line)]
    assert not wrong, "\n".join(wrong)
