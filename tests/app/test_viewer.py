"""The viewer's files as the server answers them; ``ohif/test_ohif.py`` sees them at work in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from monailabel.endpoints import ohif

from lib.repairs import viewer

FOLDER = Path(ohif.__file__).parent / "static" / "ohif"


def served(pattern: str) -> str:
    (script,) = FOLDER.glob(pattern)
    return viewer.get_ohif(script.name).body.decode()


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("app-config.js", "window.location.origin"),  # the server that it connects to
        ("2068.bundle.*.js", "cornerstone.panelTool"),  # brushes, and the export
        ("3933.bundle.*.js", "Every study has a label or is being labelled by somebody"),
        ("3933.bundle.*.js", "'Failed to Run Segmentation' + _sentence(response)"),
        ("3933.bundle.*.js", "response.headers['x-doubt']"),  # what the server doubts
        ("3933.bundle.*.js", "createElement(Figures, "),  # volumes and diameters
        ("3933.bundle.*.js", "createElement(Review, "),
        ("3933.bundle.*.js", "createElement(ReviewLine, "),  # why a study comes back
        ("3933.bundle.*.js", "createElement(StepButtons)"),  # undo and redo
        ("3933.bundle.*.js", "'Failed to Run Inference for Point Prompts' + _sentence(response)"),
        ("3933.bundle.*.js", "filter(label => label !== 'background').sort()"),  # no segment of what is none
        ("7197.bundle.*.js", "Segmentation not saved: "),
    ],
)
def test_scripts_are_changed_where_the_viewer_leaves_its_user_alone(pattern: str, words: str):
    (script,) = FOLDER.glob(pattern)
    assert words not in script.read_text()
    assert words in served(pattern)


def test_file_in_a_folder_is_answered_with_itself():
    path = next(file for file in (FOLDER / "assets").rglob("*") if file.is_file()).relative_to(FOLDER)
    assert Path(viewer.get_ohif(str(path)).path) == FOLDER / path


@pytest.mark.parametrize("path", ["", "monai-label", "viewer", "../../__init__.py", "../../../../../etc/passwd"])
def test_any_other_address_is_answered_with_the_start_page(path: str):
    answer = viewer.get_ohif(path)
    assert Path(answer.path) == FOLDER / "index.html"


def test_pages_ask_nobody_but_their_own_server():
    assert viewer.get_ohif("").headers["content-security-policy"].startswith("default-src 'self' ")


def test_another_ohif_is_refused_rather_than_half_changed():
    with pytest.raises(ValueError, match="not the OHIF of MONAI Label"):
        viewer._saving("another script")
