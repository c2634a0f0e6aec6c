"""Write the manifest of a bundle: ``python -m lib.manifest <bundle>``, which ``make manifest`` runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from dualtask.files import write_atomically
from lib.manifest import MANIFEST, checksums, written

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("bundle", type=Path)
root = parser.parse_args().bundle
sums = checksums(root)
write_atomically(root / MANIFEST, lambda temporary: temporary.write_text(written(sums)))
print(f"{root / MANIFEST}: {len(sums)} files")
