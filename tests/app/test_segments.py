"""The values of a label that a viewer sends, and the structures that they stand for."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from dualtask.errors import InputError
from dualtask.nifti import save_nifti
from lib.datastore import StudyFolder
from lib.segments import as_structures, check_values


def listed(*names: str) -> list[dict[str, object]]:
    """As 3D Slicer describes the segments of its list, in their order."""
    return [{"name": name, "idx": place} for place, name in enumerate(names, 1)]


def sent(path: Path, *values: int) -> Path:
    """A label map with so many voxels of each value: one of the first, two of the second ..."""
    voxels = np.zeros((6, 6, 6), np.uint8)
    for count, value in enumerate(values, 1):
        voxels[:count, value, 0] = value
    save_nifti(path, voxels, np.diag([2.0, 2.0, 3.0, 1.0]))
    return path


def counts(path: Path) -> list[int]:
    """Voxels of pancreas and lesion."""
    return [int((nib.load(path).get_fdata() == value).sum()) for value in (1, 2)]


@pytest.mark.parametrize(
    ("segments", "stored"),
    [
        (listed("pancreas", "lesion"), [1, 2]),
        (listed("lesion", "pancreas"), [2, 1]),
        (listed("Lesion ", "Pancreas"), [2, 1]),
        (listed("pancreas"), [1, 2]),
        ([], [1, 2]),
        (None, [1, 2]),
    ],
)
def test_segments_are_stored_by_their_names_in_whatever_order_they_were_drawn(segments, stored, tmp_path):
    label = sent(tmp_path / "sent.nii.gz", 1, 2)
    result = as_structures(label, segments, tmp_path)
    assert counts(result) == stored
    np.testing.assert_array_equal(nib.load(result).affine, nib.load(label).affine)


def test_a_lesion_that_is_the_only_segment_is_a_lesion(tmp_path):
    assert counts(as_structures(sent(tmp_path / "sent.nii.gz", 1), listed("lesion"), tmp_path)) == [0, 1]


def test_the_store_keeps_the_structures_and_their_file_where_nothing_is_to_be_done(tmp_path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "a.nii.gz").write_bytes(b"scan")
    store = StudyFolder(str(tmp_path / "studies"), extensions=["*.nii.gz"])
    label = sent(tmp_path / "sent.nii.gz", 1, 2)
    store.save_label("a", str(label), "final", {"label_info": listed("pancreas", "lesion")})
    assert Path(store.get_label_uri("a", "final")).read_bytes() == label.read_bytes()
    store.save_label("a", str(label), "final", {"label_info": listed("lesion", "pancreas")})
    assert counts(Path(store.get_label_uri("a", "final"))) == [2, 1]


@pytest.mark.parametrize(
    ("values", "segments", "words"),
    [
        ([1, 2, 3], listed("pancreas", "lesion", "duct"), "The segment 'duct' is no structure"),
        ([1, 2, 3], listed("pancreas", "lesion"), "The value 3 of the label is no structure"),
        ([-1], None, "The value -1 of the label"),
        ([0.5], None, "The value 0.5 of the label"),
    ],
)
def test_what_is_no_structure_is_refused_in_a_sentence(values, segments, words):
    label = torch.zeros(1, 4, 4, 4)
    label[0, 0, 0, : len(values)] = torch.tensor(values, dtype=torch.float32)
    with pytest.raises(InputError, match=f"^{words}.*: name it pancreas or lesion, or delete it"):
        check_values(label, segments)


def test_an_empty_segment_with_another_name_does_no_harm():
    label = torch.tensor([0.0, 1.0, 2.0])[None, None, None]
    check_values(label, listed("pancreas", "lesion", "duct"))
