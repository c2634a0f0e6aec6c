"""Task07 of the Medical Segmentation Decathlon from the internet."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from monai.apps import DecathlonDataset
from monai.apps.utils import HashCheckError

from dualtask.errors import InputError

TASK = "Task07_Pancreas"


def fetch_msd(
    output_dir: str | os.PathLike[str],
    url: str = DecathlonDataset.resource[TASK],
    md5: str = DecathlonDataset.md5[TASK],
) -> Path:
    """Download, verify and unpack Task07 by MONAI's ``DecathlonDataset``, with a progress bar.

    The folder appears when it is complete; a call after an interruption unpacks again and downloads only what is not
    there.

    Args:
        output_dir: folder for ``Task07_Pancreas``.
        url: of the archive.
        md5: of the archive.

    Returns:
        ``Task07_Pancreas``, in the layout of the Decathlon.

    Raises:
        InputError: the archive cannot be reached, stored or is another one.
    """
    output_dir = Path(output_dir)
    complete, parts = output_dir / TASK, output_dir / f".{TASK}"
    if complete.exists():
        return complete
    dataset = type("Task07", (DecathlonDataset,), {"resource": {TASK: url}, "md5": {TASK: md5}})
    try:
        # MONAI takes any folder that is not empty for a complete one.
        shutil.rmtree(parts / TASK, ignore_errors=True)
        parts.mkdir(parents=True, exist_ok=True)
        dataset(parts, TASK, "training", download=True, cache_num=0)
    except HashCheckError as error:
        raise InputError(f"The archive from {url} is damaged or another one: remove {parts} and try again.") from error
    except Exception as error:  # MONAI raises a bare Exception where no server answers
        raise InputError(
            f"{url} cannot be fetched to {output_dir} ({error}): check network, address and space."
        ) from error
    (parts / TASK).rename(complete)
    shutil.rmtree(parts)
    return complete
