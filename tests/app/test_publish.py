"""Weights that were trained elsewhere, such as those of a federation, become a version of the app."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dualtask.errors import InputError
from lib.publish import publish
from lib.versions import WeightVersions


@pytest.fixture
def versions(tmp_path: Path, bundle) -> WeightVersions:
    return WeightVersions(tmp_path / "model", bundle.root / "models" / "model.pt", "1.0")


@pytest.fixture
def trained(tmp_path: Path, bundle) -> Path:
    """As ``dualtask_research.federated.persistence`` writes them: a plain state dict."""
    state = torch.load(bundle.root / "models" / "model.pt", weights_only=True)
    torch.save({name: values + 0.001 for name, values in state.items()}, tmp_path / "federated.pt")
    return tmp_path / "federated.pt"


def test_weights_of_the_bundles_network_are_served(versions, bundle, trained):
    assert publish(trained, bundle, versions) == 1
    assert versions.name == "1.0+1"
    assert versions.path.read_bytes() == trained.read_bytes()
    assert versions.records[0]["source"] == "federated.pt"


def test_weights_of_another_network_are_refused(versions, bundle, tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="belong to another network"):
        publish(tmp_path / "other.pt", bundle, versions)
    assert versions.current == 0


def test_what_is_no_file_of_weights_is_refused(versions, bundle, tmp_path):
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(InputError, match="cannot be read"):
        publish(tmp_path / "text.pt", bundle, versions)
