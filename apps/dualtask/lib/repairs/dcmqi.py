"""The program ``itkimage2segimage`` is found.

MONAI Label 0.8.5 looks for it on PATH and downloads it from the internet otherwise. It is installed beside the Python
that runs the server, a folder that is on PATH only in an activated environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def apply() -> None:
    """Put the folder of the running Python on PATH."""
    programs = str(Path(sys.executable).parent)
    if programs not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] += os.pathsep + programs
