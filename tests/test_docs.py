"""The documentation points at things that exist, and names no leftovers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_names_every_command_and_no_other():
    scripts = re.findall(r"^(trajectory-3d-[a-z-]+) =", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    named = set(re.findall(r"trajectory-3d-[a-z-]+", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named == set(scripts)
