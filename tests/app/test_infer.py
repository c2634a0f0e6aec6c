"""The inference task in this process; a network that thresholds stands in where the exact mask must be known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer

from dualtask.errors import InputError
from dualtask.inferers import CascadeInferer
from dualtask.networks.heads import Heads
from lib.bundle import Bundle
from lib.infer import DualTaskInfer
from lib.measurements import measure_label
from lib.results import ResultStore
from lib.versions import WeightVersions

PANCREAS_HU, LESION_HU, AIR_HU = 70, 200, -500


def infer_task(bundle: Bundle, folder: Path) -> DualTaskInfer:
    versions = WeightVersions(folder / "model", bundle.root / "models" / "model.pt", "1.2.3")
    return DualTaskInfer(bundle, versions, ResultStore(folder / "results"), {})


class Thresholds(torch.nn.Module):
    """Maps [B, 6, X, Y, Z], see ``dualtask.maps``, of the classes that the scans below paint in grey.

    Probabilities rise with the intensity as interpolation mixes two classes, so that a face stays where it was painted
    though it lies between the voxels of the network's grid.
    """

    def __init__(self) -> None:
        super().__init__()
        self.projection = torch.nn.Identity()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pancreas, lesion = ((hu + 100) / 340 for hu in (PANCREAS_HU, LESION_HU))
        probability = torch.cat([image / pancreas, (image - pancreas) / (lesion - pancreas)], dim=1).clamp(0, 1)
        return torch.cat([probability, 1 - 2 * probability, 0 * probability], dim=1)


class ThresholdHeads(torch.nn.Module):
    """The same for the cascade: organ from 0 HU on, no lesion."""

    sharpness = torch.ones(1, 2, 1, 1, 1)
    regression_share = torch.zeros(1, 2, 1, 1, 1)

    def __init__(self) -> None:
        super().__init__()
        self.projection = torch.nn.Identity()

    def heads(self, image: torch.Tensor) -> Heads:
        organ = (image >= 100 / 340).float()
        masks = torch.cat([organ, 0 * organ], dim=1)
        return Heads(40 * (masks - 0.5), 1 - 2 * masks, self.projection(image.new_ones(1, 32, 2, 2, 2)))


def write_scan(path: Path, affine: np.ndarray, painted: dict[int, tuple[slice, slice, slice]]) -> np.ndarray:
    """Write boxes of given HU in air [x, y, z]; return their label map."""
    volume, label = np.full((40, 36, 24), AIR_HU, np.int16), np.zeros((40, 36, 24), np.uint8)
    volume[0, 0, 0] = -1000  # a scan that is one value everywhere would be refused
    for hu, box in painted.items():
        volume[box], label[box] = hu, (1 if hu == PANCREAS_HU else 2)
    nib.save(nib.Nifti1Image(volume, affine), path)
    return label


BOXES = {PANCREAS_HU: np.s_[4:20, 6:30, 4:10], LESION_HU: np.s_[8:14, 10:18, 5:9]}


@pytest.fixture
def task(bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DualTaskInfer:
    task = infer_task(bundle, tmp_path)
    monkeypatch.setattr(task, "_get_network", lambda device, data: Thresholds())
    monkeypatch.setattr(task, "inferer", lambda data=None: SimpleInferer())
    return task


@pytest.fixture
def segment(task: DualTaskInfer) -> Callable[..., nib.Nifti1Image]:
    def run(scan: Path, **options: object) -> nib.Nifti1Image:
        path, _ = task({"image": str(scan), "device": "cpu", **options})
        return nib.load(path)

    return run


def affine_of(codes: str, spacing: tuple[float, float, float]) -> np.ndarray:
    affine = np.zeros((4, 4))
    for axis, (code, side) in enumerate(zip(codes, spacing, strict=True)):
        row, sign = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}[code]
        affine[row, axis] = sign * side
    affine[:, 3] = (12.5, -80, 300, 1)
    return affine


@pytest.mark.parametrize("codes", ["RAS", "LPI", "LPS", "PIR", "SLA"])
def test_mask_lies_on_the_scan_whatever_its_orientation(segment, tmp_path: Path, codes: str):
    affine = affine_of(codes, (3, 3, 3))  # the network's own grid, so that the orientation alone matters
    label = write_scan(tmp_path / "scan.nii.gz", affine, BOXES)
    mask = segment(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(mask.affine, affine)
    agreement = np.mean(np.asarray(mask.dataobj)[label > 0] == label[label > 0])
    assert agreement > 0.9


def test_mask_has_the_scans_voxels_though_the_network_has_other_spacing(segment, tmp_path: Path):
    affine = affine_of("LAS", (0.9, 0.9, 5))
    label = write_scan(tmp_path / "scan.nii.gz", affine, BOXES)
    mask = segment(tmp_path / "scan.nii.gz")
    assert mask.shape == label.shape
    np.testing.assert_allclose(mask.affine, affine, atol=1e-6)
    assert np.mean(np.asarray(mask.dataobj) == label) > 0.95


def test_mask_keeps_the_shear_of_a_tilted_gantry(segment, tmp_path: Path):
    affine = affine_of("RAS", (2, 2, 5))
    affine[1, 2] = 1.3
    write_scan(tmp_path / "scan.nii.gz", affine, BOXES)
    np.testing.assert_allclose(segment(tmp_path / "scan.nii.gz").affine, affine, atol=1e-5)


def test_mask_is_integer(segment, tmp_path: Path):
    write_scan(tmp_path / "scan.nii.gz", affine_of("LPS", (2, 2, 2.5)), BOXES)
    assert segment(tmp_path / "scan.nii.gz").get_data_dtype() == np.uint8


def test_viewer_may_ask_for_another_type_and_format(task, tmp_path: Path):
    import nrrd

    write_scan(tmp_path / "scan.nii.gz", affine_of("LPS", (2, 2, 2.5)), BOXES)
    request = {"image": str(tmp_path / "scan.nii.gz"), "result_extension": ".nrrd", "result_dtype": "uint16"}
    path, _ = task(request)
    mask, header = nrrd.read(path)
    assert mask.dtype == np.uint16
    np.testing.assert_allclose(np.diag(header["space directions"]), (2, 2, 2.5))
    np.testing.assert_allclose(header["space origin"], (-12.5, 80, 300))


@pytest.mark.parametrize(("hu", "value"), [(PANCREAS_HU, 1), (LESION_HU, 2)])
def test_value_of_a_class_does_not_depend_on_the_other(segment, tmp_path: Path, hu: int, value: int):
    write_scan(tmp_path / "scan.nii.gz", affine_of("LPS", (2, 2, 2.5)), {hu: BOXES[PANCREAS_HU]})
    assert value in np.asarray(segment(tmp_path / "scan.nii.gz").dataobj)


def test_scan_without_findings_gives_an_empty_mask(segment, tmp_path: Path):
    write_scan(tmp_path / "scan.nii.gz", affine_of("LPS", (2, 2, 2.5)), {})
    assert not np.asarray(segment(tmp_path / "scan.nii.gz").dataobj).any()


def test_answer_measures_the_mask_and_a_label_that_is_the_same_measures_the_same(task, tmp_path: Path):
    scan = tmp_path / "scan.nii.gz"
    write_scan(scan, affine_of("LPS", (2, 2, 2.5)), BOXES)
    path, answer = task({"image": str(scan), "device": "cpu"})
    mask, measured = nib.load(path), json.loads(json.dumps(answer["measurements"], allow_nan=False))
    voxels = np.asarray(mask.dataobj)
    assert measured["pancreas_ml"] == pytest.approx((voxels > 0).sum() * 2 * 2 * 2.5 / 1000)
    (lesion,) = measured["lesions"]
    assert lesion["mean_hu"] == pytest.approx(np.asarray(nib.load(scan).dataobj)[voxels == 2].mean(), abs=1e-3)
    nib.save(mask.as_reoriented(np.array([[0, -1], [1, 1], [2, 1]])), tmp_path / "turned.nii.gz")
    assert measure_label(scan, tmp_path / "turned.nii.gz") == measured


def test_answer_says_why_a_result_is_doubtful(task, tmp_path: Path):
    write_scan(tmp_path / "empty.nii.gz", affine_of("LPS", (2, 2, 2.5)), {})
    _, answer = task({"image": str(tmp_path / "empty.nii.gz"), "device": "cpu"})
    sentence = "The result for empty is doubtful (1.00): no pancreas was found; check it before use."
    assert answer["doubt"] == {"score": 1.0, "warning": sentence}
    assert json.loads(json.dumps(answer, allow_nan=False))["indicators"]["volume_ml"] is None


def test_answer_holds_what_the_cascade_saw(task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    network = ThresholdHeads()
    cascade = CascadeInferer(
        network, factor=2, localiser_size=(8, 8, 8), region_size=(24, 24, 16), truncation=(15.0, 7.5)
    )
    monkeypatch.setattr(task, "_get_network", lambda device, data: network)
    monkeypatch.setattr(task, "inferer", lambda data=None: cascade)
    write_scan(tmp_path / "scan.nii.gz", affine_of("LPS", (3, 3, 3)), BOXES)
    _, answer = task({"image": str(tmp_path / "scan.nii.gz"), "device": "cpu"})
    assert answer["indicators"]["localiser_agreement"] > 0.7
    assert answer["indicators"]["embedding_distance"] > 0
    assert 0 <= answer["doubt"]["score"] <= 1


def test_dicom_series_is_a_scan_too(segment, shared_data: Path):
    series = shared_data / "ct_upper_abdomen_dicom"
    assert segment(series).shape[2] == len(list(series.glob("*.dcm")))


def test_unusable_scan_raises_its_sentence(task, tmp_path: Path):
    nib.save(nib.Nifti1Image(np.zeros((8, 8), np.int16), np.eye(4)), tmp_path / "flat.nii.gz")
    with pytest.raises(InputError, match=r"flat\.nii\.gz"):
        task({"image": str(tmp_path / "flat.nii.gz"), "device": "cpu"})


def test_newest_weights_are_used_as_soon_as_they_are_published(bundle, tmp_path: Path):
    task = infer_task(bundle, tmp_path)
    shipped = task._get_network("cpu", None)
    assert task._get_network("cpu", None) is shipped
    state = torch.load(bundle.root / "models" / "model.pt", weights_only=True)
    torch.save({name: torch.zeros_like(value) for name, value in state.items()}, tmp_path / "new.pt")
    task.versions.publish(tmp_path / "new.pt", {"taught": []})
    assert task.info()["version"] == "1.2.3+1"
    assert not any(value.any() for value in task._get_network("cpu", None).state_dict().values())


def test_client_cannot_choose_a_file_of_weights(bundle, tmp_path: Path):
    assert "model_filename" not in infer_task(bundle, tmp_path).info()["config"]


def bundle_with_models(bundle: Bundle, tmp_path: Path, *models: str) -> Bundle:
    shutil.copytree(bundle.root / "configs", tmp_path / "configs")
    (tmp_path / "models").mkdir()
    for model in models:
        shutil.copy(bundle.root / "models" / model, tmp_path / "models")
    return Bundle(tmp_path)


@pytest.mark.parametrize(("present", "absent"), [("localiser.pt", "model.pt"), ("model.pt", "localiser.pt")])
def test_untrained_network_is_never_served(bundle, tmp_path: Path, present: str, absent: str):
    from dualtask.errors import find_input_error

    with pytest.raises(Exception) as error:
        infer_task(bundle_with_models(bundle, tmp_path, present), tmp_path)
    assert f"No weights at {tmp_path / 'models' / absent}" in str(find_input_error(error.value))


def test_a_bundle_that_cannot_doubt_its_results_is_never_served(bundle, tmp_path: Path):
    from dualtask.errors import find_input_error

    with pytest.raises(Exception) as error:
        infer_task(bundle_with_models(bundle, tmp_path, "model.pt", "localiser.pt"), tmp_path)
    assert f"{tmp_path / 'models' / 'doubt.json'} does not exist" in str(find_input_error(error.value))


def test_weights_of_another_network_are_refused(bundle, tmp_path: Path):
    other = bundle_with_models(bundle, tmp_path, "model.pt", "localiser.pt")
    torch.save({"some.weight": torch.zeros(1)}, tmp_path / "models" / "model.pt")
    with pytest.raises(InputError, match="belong to another network"):
        infer_task(other, tmp_path)
