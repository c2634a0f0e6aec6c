"""Dual-task segmentation of the pancreas and its lesions in CT: the components that the bundle's configs name.

This module stays free of heavy imports, so that the generator of synthetic scans runs without torch.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType


def bundle_root() -> str:
    """The folder of the bundle that this package belongs to (it holds ``configs`` and ``models``)."""
    return str(Path(__file__).resolve().parents[1])


def __getattr__(name: str) -> ModuleType:
    """A part of the package that was not imported yet.

    MONAI passes over an import of a config that fails; what failed is said where the part is asked for.

    Raises:
        ImportError: a package that the part needs is not installed.
    """
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name == f"{__name__}.{name}":
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'") from None
        raise ImportError(
            f"{__name__}.{name} needs the package '{error.name}', which is not installed: "
            "run pip install -r requirements.txt in the bundle's folder."
        ) from error
