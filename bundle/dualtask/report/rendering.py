"""From a template to a page that needs no other file and no network."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dualtask.files import write_atomically
from dualtask.notice import NOTICE


def render_page(output_path: str | os.PathLike[str], template: Path, **values: Any) -> None:
    """Render a template and write it, atomically.

    It may extend and import what lies beside it and the templates of this folder.

    Args:
        output_path: the page.
        template: file of the template.
        values: what the template names.
    """
    # Escapes every value: names of files come from outside.
    loader = FileSystemLoader([template.parent, Path(__file__).parent])
    environment = Environment(autoescape=True, loader=loader, undefined=StrictUndefined)
    environment.filters |= {"number": number, "percent": _percent}
    html = environment.get_template(template.name).render(notice=NOTICE, **values)
    write_atomically(output_path, lambda temporary: temporary.write_text(html, encoding="utf-8"))


def number(value: float | None, digits: int) -> str:
    """Write a score; one that is not defined is a dash.

    >>> number(0.8249, 2), number(-0.001, 2)
    ('0.82', '0.00')
    """
    if value is None or math.isnan(value):
        return "\N{EN DASH}"
    # The sum makes 0 of -0.
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _percent(value: float | None) -> str:
    return number(None if value is None else 100 * value, 0)
