"""The folder to submit: the bundle without what does not belong, in the layout and style of the Model Zoo."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

LARGEST_FILE = 25 * 10**6
"""Bytes; the Model Zoo takes larger files only as links in ``large_files.yml``."""

_UNIT_TEST = Path(__file__).with_name("unit_test.py")

_BELONGS = (
    "LICENSE",
    "requirements.txt",
    "configs/*.json",
    "configs/*.conf",
    "docs/*",
    "models/*.pt",
    "models/*.json",
    "dualtask/**/*",
)

_LEFT_BY_WORK = ("__pycache__", "_previous.pt", "_last.pt")

# What black and isort of the Model Zoo make of the code, by the formatter that is at hand: no comma keeps lines apart,
# and the bundle's package counts as any other, since it does not lie where isort looks for one's own.
_STYLE = ["--isolated", "--line-length=120", "--config=src=[]"]
_FORMAT = ["format", *_STYLE, "--config=format.skip-magic-trailing-comma=true"]
_SORT = [
    "check",
    *_STYLE,
    "--select=I",
    "--fix",
    "--config=lint.isort.split-on-trailing-comma=false",
    "--config=lint.isort.known-third-party=['dualtask']",
]


def write_folder(bundle: Path, output: Path) -> Path:
    """Write ``models/<name>`` and ``ci/unit_tests/test_<name>.py``, to be laid over a checkout of the Model Zoo.

    Args:
        bundle: root of the bundle; the submission takes the name that its metadata states.
        output: what stands there under these two paths is replaced.

    Returns:
        the folder of the bundle.
    """
    name = json.loads((bundle / "configs" / "metadata.json").read_text())["name"]
    folder = output / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    for pattern in _BELONGS:
        for path in sorted(bundle.glob(pattern)):
            if path.is_file() and not any(part in path.as_posix() for part in _LEFT_BY_WORK):
                target = folder / path.relative_to(bundle)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    test = output / "ci" / "unit_tests" / f"test_{name}.py"
    test.parent.mkdir(parents=True, exist_ok=True)
    test.write_text(_UNIT_TEST.read_text().replace("BUNDLE_NAME", name))
    for path in folder.rglob("*.py"):
        path.write_text(_with_comments(path.read_text()))
    for path in folder.rglob("*.json"):
        path.write_text(pretty_json(path.read_text()))
    for arguments in (_SORT, _FORMAT):
        subprocess.run([sys.executable, "-m", "ruff", *arguments, "--quiet", str(folder), str(test)], check=True)
    _take_out_large_files(folder)
    return folder


def pretty_json(text: str) -> str:
    """The same content as the Model Zoo's pre-commit hook writes it."""
    return json.dumps(json.loads(text), indent=4) + "\n"


def described_values(source: str) -> list[tuple[ast.stmt, ast.Expr]]:
    """Statements of a module that are followed by a string that says what they are, each with its string."""
    pairs = zip(body := ast.parse(source).body, body[1:], strict=False)
    return [
        (stated, text)
        for stated, text in pairs
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    ]


def _with_comments(source: str) -> str:
    """The source with these strings as comments before what they describe: a pre-commit hook allows a module one."""
    lines = source.splitlines(keepends=True)
    for stated, text in reversed(described_values(source)):
        comment = inspect.cleandoc(ast.literal_eval(text.value)).splitlines()
        del lines[text.lineno - 1 : text.end_lineno]
        lines[stated.lineno - 1 : stated.lineno - 1] = [f"# {line}\n" for line in comment]
    return "".join(lines)


def _take_out_large_files(folder: Path) -> None:
    large = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size > LARGEST_FILE]
    if not large:
        return
    lines = ["large_files:"]
    for path in large:
        lines += [
            f'  - path: "{path.relative_to(folder).as_posix()}"',
            '    url: ""',
            f'    hash_val: "{hashlib.sha256(path.read_bytes()).hexdigest()}"',
            '    hash_type: "sha256"',
        ]
        path.unlink()
    (folder / "large_files.yml").write_text("\n".join(lines) + "\n")
