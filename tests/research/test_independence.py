"""The bundle is the method alone: neither it nor the app knows of research, and it knows nothing of the app."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ABOVE = {"bundle": {"dualtask_research", "lib", "monailabel"}, "apps": {"dualtask_research"}, "research": {"lib"}}
"""Room -> packages that it must not import."""


def imported(module: ast.Module) -> Iterator[str]:
    """Top-level packages that a module imports, wherever in it."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("room", ABOVE)
def test_no_module_imports_what_stands_above_it(room: str):
    modules = list((REPOSITORY / room).rglob("*.py"))
    assert modules
    astray = {str(path): ABOVE[room] & set(imported(ast.parse(path.read_text()))) for path in modules}
    assert not {path: names for path, names in astray.items() if names}


def test_no_config_of_the_bundle_names_research(bundle_root: Path):
    configs = list((bundle_root / "configs").glob("*.json"))
    assert configs
    assert not [path for path in configs if "dualtask_research" in json.dumps(json.loads(path.read_text()))]
