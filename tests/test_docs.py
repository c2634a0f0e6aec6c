"""What the documents name exists: pages and their headings, files, modules, tests, targets of make, one version."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "bundle/docs/*.md", "configs/**/*.md")
    for path in REPOSITORY.glob(pattern)
)
ROOMS = "apps|benchmarks|bundle|configs|docs|research|tests"
MADE_BY_USE = ("apps/dualtask/model", "apps/dualtask/logs", "bundle/data", "bundle/eval")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))


def code(page: Path) -> str:
    """Code spans and blocks of a page, a line each."""
    text = page.read_text()
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*blocks, *(" ".join(span.split()) for span in spans)])


def anchors(page: Path) -> Iterator[str]:
    """What a link may name of a page: its headings, as the forges spell them."""
    for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_there_are_pages():
    assert len(PAGES) > 20


@each_page
def test_relative_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{target} does not exist"
        assert not anchor or anchor in anchors(linked), f"{target} has no such heading"


@each_page
def test_files_that_are_named_exist(page: Path):
    # A pattern, a placeholder or what stands behind a host is no file.
    named = re.findall(rf"(?<![\w/.<>-])((?:{ROOMS})/[\w./-]+)(?![\w*<>{{-])", code(page))
    for path in named:
        there = any((folder / path).exists() for folder in (REPOSITORY, REPOSITORY / "bundle", REPOSITORY / "tests"))
        assert there or path.startswith(MADE_BY_USE), f"{path} does not exist"


@each_page
def test_tests_that_are_named_exist(page: Path):
    for name in re.findall(r"\btest_\w+\b", code(page)):
        known = [*REPOSITORY.glob(f"tests/**/{name}.py"), *REPOSITORY.glob(f"tests/**/{name}")]
        assert known, f"there is no test {name}"


@each_page
def test_targets_of_make_that_are_named_exist(page: Path):
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", code(page))) <= targets


@each_page
def test_modules_that_are_run_exist(page: Path):
    for name in re.findall(r"python -m (dualtask[\w.]*)", code(page)):
        assert importlib.util.find_spec(name), f"there is no module {name}"


def test_the_readme_stays_short():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 120


def test_there_is_one_version():
    version = json.loads((REPOSITORY / "bundle/configs/metadata.json").read_text())["version"]
    assert tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"] == version
    assert yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())["version"] == version
    assert f"## {version}" in (REPOSITORY / "CHANGELOG.md").read_text()
