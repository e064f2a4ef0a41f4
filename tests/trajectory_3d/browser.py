"""Pages opened in a headless Chromium."""

import re

import pytest

from examples.trajectory_3d.gallery.browser import elements_of, find_browser


def open_in_browser(address: str) -> tuple[str, str]:
    """The page's elements after its script ran, and what the browser logged."""
    browser = find_browser()
    if browser is None:
        pytest.skip("no Chromium on this machine")
    return elements_of(address, browser=browser)


def assert_no_console_error(log: str) -> None:
    console = [line for line in log.splitlines() if "CONSOLE" in line]
    wrong = [line for line in console if re.search(r"ERROR|Uncaught|Error:|Failed to load", line)]
    assert not wrong, "\n".join(wrong)
