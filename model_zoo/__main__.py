"""Write the folder to submit to MONAI's Model Zoo, and say what is left to do: ``python -m model_zoo``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from model_zoo.checks import left_to_do, problems
from model_zoo.folder import write_folder

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--bundle", type=Path, default=Path("bundle"))
parser.add_argument("--output", type=Path, required=True)
arguments = parser.parse_args()
folder = write_folder(arguments.bundle, arguments.output)
found = problems(folder)
print(f"{folder}: {sum(path.is_file() for path in folder.rglob('*'))} files")
print(*(f"- {problem}" for problem in found) if found else ["Our own checks find nothing to object to."], sep="\n")
print("Left to do by a person:", *(f"- {step}" for step in left_to_do(folder)), sep="\n")
sys.exit(1 if found else 0)
