"""Corrections in this process, asked for as the panels of 3D Slicer and OHIF ask; the network thresholds."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer
from test_infer import BOXES, LESION_HU, PANCREAS_HU, Thresholds, affine_of, infer_task, write_scan

from dualtask.errors import InputError
from lib.corrections import Clicks, Scribbles
from lib.scan_maps import MapsInMemory
from lib.security.options import ClickOptions, ScribbleOptions, check_options

MISSED, SEEN, LESION = [36, 30, 20], [6, 8, 5], [10, 14, 7]
"""Voxels of air, of the pancreas and of the lesion in the scan below."""


def thresholding(bundle, folder: Path):
    """The inference task with a network that thresholds."""
    task = infer_task(bundle, folder)
    task._get_network = lambda device, data: Thresholds()
    task.inferer = lambda data=None: SimpleInferer()
    return task


@pytest.fixture(scope="module")
def segmenter(bundle, tmp_path_factory: pytest.TempPathFactory):
    return thresholding(bundle, tmp_path_factory.mktemp("segmenter"))


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("scan") / "scan.nii.gz"
    write_scan(path, affine_of("LPS", (2, 2, 2.5)), BOXES)
    return str(path)


def maps_of(segmenter) -> MapsInMemory:
    return MapsInMemory(segmenter.scan_maps, lambda: segmenter.versions.digest)


@pytest.fixture(scope="module")
def clicks(segmenter, bundle) -> Clicks:
    return Clicks(segmenter, maps_of(segmenter), bundle.labels)


@pytest.fixture(scope="module")
def scribbles(segmenter, bundle) -> Scribbles:
    return Scribbles(segmenter, maps_of(segmenter), bundle.labels)


def voxels(answer: tuple[str, dict]) -> np.ndarray:
    return np.asarray(nib.load(answer[0]).dataobj)


SLICER = {"pancreas": [MISSED, LESION], "lesion": [SEEN], "background": [[12, 8, 5]], "label": "lesion"}
OHIF = {"pancreas": [MISSED, LESION], "lesion": [SEEN], "background": [[12, 8, 5]]}


@pytest.mark.parametrize("sent", [SLICER, OHIF], ids=["3D Slicer", "OHIF"])
def test_clicks_of_a_viewer_are_obeyed_in_the_voxels_of_the_scan(clicks, scan: str, sent):
    check_options(sent, ClickOptions, clicks.info().get("config", {}))
    answer = clicks({"image": scan, **sent})
    mask = voxels(answer)
    assert [mask[tuple(point)] for point in (MISSED, LESION, SEEN, [12, 8, 5])] == [1, 1, 2, 0]
    np.testing.assert_array_equal(nib.load(answer[0]).affine, nib.load(scan).affine)
    assert answer[1]["label_names"] == {"pancreas": 1, "lesion": 2}
    assert answer[1]["changed_ml"]["lesion"] > 0


def test_no_click_is_the_networks_own_result(clicks, segmenter, scan: str):
    np.testing.assert_array_equal(voxels(clicks({"image": scan})), voxels(segmenter({"image": scan, "device": "cpu"})))


def test_script_says_what_is_a_structure_and_what_is_not(clicks, scan: str):
    mask = voxels(clicks({"image": scan, "label": "lesion", "foreground": [MISSED], "background": [LESION]}))
    assert mask[tuple(MISSED)] == 2
    assert mask[tuple(LESION)] == 1  # the organ was not in question


def test_viewer_gets_the_format_that_it_asks_for(clicks, scan: str):
    path, _ = clicks({"image": scan, "lesion": [MISSED], "result_extension": ".nrrd", "result_dtype": "uint8"})
    assert nrrd.read(path)[0][tuple(MISSED)] == 2


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"lesion": [[40, 0, 0]]}, "lies outside the scan of 40 x 36 x 24 voxels"),
        ({"lesion": [[1, 2]]}, "give a list of"),
        ({"lesion": [MISSED], "background": [MISSED]}, "remove one mark"),
        ({"label": "spleen", "foreground": [MISSED]}, "There is no structure 'spleen'"),
    ],
)
def test_clicks_that_cannot_be_used_are_refused_in_a_sentence(clicks, scan: str, sent, words: str):
    with pytest.raises(InputError, match=words):
        clicks({"image": scan, **sent})


@pytest.mark.parametrize(
    "sent",
    [{"lesion": [[1, 2]]}, {"lesion": "all"}, {"lesion": [[1, 2, "3"]]}, {"spleen": []}, {"lesion": [[0, 0, 1e9]]}],
)
def test_gate_lets_points_of_known_labels_through_alone(sent):
    with pytest.raises(InputError):
        check_options(sent, ClickOptions, {})


def test_network_runs_once_for_all_clicks_on_a_scan_and_anew_for_new_weights(bundle, scan: str, tmp_path: Path):
    segmenter = thresholding(bundle, tmp_path)
    clicks = Clicks(segmenter, maps_of(segmenter), bundle.labels)
    runs = []
    infer = segmenter.run_inferer
    segmenter.run_inferer = lambda data, *more, **named: runs.append(data) or infer(data, *more, **named)
    for point in (MISSED, LESION):
        clicks({"image": scan, "lesion": [point]})
    assert len(runs) == 1
    state = torch.load(segmenter.get_path(), weights_only=True)
    state["classification.bias"] += 0.1
    torch.save(state, tmp_path / "new.pt")
    segmenter.versions.publish(tmp_path / "new.pt", {"taught": []})
    _, facts = clicks({"image": scan, "lesion": [MISSED]})
    assert len(runs) == 2
    assert facts["version"] == "1.2.3+1"


def test_memory_holds_only_so_much(segmenter, scan: str, tmp_path: Path):
    size = segmenter.scan_maps(scan).nbytes
    computed = []

    def compute(path: str):
        computed.append(path)
        return segmenter.scan_maps(path)

    write_scan(tmp_path / "other.nii.gz", affine_of("LPS", (2, 2, 2.5)), BOXES)
    other = str(tmp_path / "other.nii.gz")
    one = MapsInMemory(compute, lambda: "weights", most_bytes=int(1.5 * size))
    for path in (scan, scan, other, scan):
        one.of(path)
    assert computed == [scan, other, scan]
    none = MapsInMemory(compute, lambda: "weights", most_bytes=size // 2)
    assert none.of(scan).nbytes == none.of(scan).nbytes == size


def scribbled(scan: str, path: Path, painted: dict[int, tuple[slice, ...]]) -> str:
    """A label map as 3D Slicer exports it."""
    image = nib.load(scan)
    values = np.zeros(image.shape, np.uint8)
    for value, box in painted.items():
        values[box] = value
    nib.save(nib.Nifti1Image(values, image.affine), path)
    return str(path)


SEGMENTS = [
    {"name": name, "id": index}
    for index, name in enumerate(
        ("background", "pancreas", "lesion", "background_scribbles", "foreground_scribbles"), 1
    )
]
SENT = {"roi": [], "label_info": SEGMENTS, "selected_label_name": "pancreas"}


def test_scribbles_correct_what_the_annotator_has_painted(scribbles, scan: str, tmp_path: Path):
    check_options(SENT, ScribbleOptions, scribbles.info().get("config", {}))
    painted = {
        2: np.s_[4:20, 6:30, 4:10],
        3: np.s_[30:34, 4:8, 18:20],
        5: np.s_[30:36, 28:30, 18:22],
        4: np.s_[5:7, 8:10, 5:7],
    }
    mask = voxels(scribbles({"image": scan, "label": scribbled(scan, tmp_path / "label.nii.gz", painted), **SENT}))
    assert set(np.unique(mask)) == {0, 1}
    assert mask[painted[5]].all()
    assert not mask[painted[4]].any()
    assert not mask[painted[3]].any()  # of another segment


def test_scribbles_alone_correct_the_networks_result(scribbles, scan: str, tmp_path: Path):
    label = scribbled(scan, tmp_path / "label.nii.gz", {4: np.s_[9:11, 12:14, 6:8]})
    request = {"image": scan, "label": label, **SENT, "selected_label_name": "lesion"}
    before = voxels(
        scribbles({**request, "label": scribbled(scan, tmp_path / "far.nii.gz", {4: np.s_[0:1, 0:1, 0:1]})})
    )
    after = voxels(scribbles(request))
    assert before[9:11, 12:14, 6:8].all()
    assert not after[9:11, 12:14, 6:8].any()


def test_nothing_changes_outside_the_box_of_3d_slicer(scribbles, scan: str, tmp_path: Path):
    label = scribbled(scan, tmp_path / "label.nii.gz", {5: np.s_[26:36, 28:30, 18:22]})
    mask = voxels(scribbles({"image": scan, "label": label, **SENT, "roi": [32, 40, 36, 20, 10, 24]}))
    assert mask[32:36, 28:30, 18:22].all()
    assert not mask[26:32, 28:30, 18:22].any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"selected_label_name": "spleen"}, "The segment 'spleen' cannot be corrected: choose one of pancreas, lesion"),
        ({"label": None}, "There are no scribbles: send the label map"),
        ({"label": {2: np.s_[4:20, 6:30, 4:10]}}, "holds no scribbles: paint some"),
        ({"roi": [1, 2, 3]}, "The box around the region has 3 numbers: send two for each axis"),
        ({"label_info": [{"id": 3}]}, "holds no scribbles: paint some, or name their segments"),
    ],
)
def test_scribbles_that_cannot_be_used_are_refused_in_a_sentence(scribbles, scan, tmp_path: Path, changes, words: str):
    request = {"image": scan, "label": {5: np.s_[0:1, 0:1, 0:1]}, **SENT, **changes}
    if request["label"] is not None:
        request["label"] = scribbled(scan, tmp_path / "label.nii.gz", request["label"])
    with pytest.raises(InputError, match=words):
        scribbles(request)


def test_scribbles_of_another_scan_are_refused(scribbles, scan: str, tmp_path: Path):
    write_scan(tmp_path / "moved.nii.gz", affine_of("LPS", (2, 2, 4)), {PANCREAS_HU: BOXES[LESION_HU]})
    label = scribbled(str(tmp_path / "moved.nii.gz"), tmp_path / "label.nii.gz", {5: np.s_[0:2, 0:2, 0:2]})
    with pytest.raises(InputError, match="lies elsewhere in space than the scan"):
        scribbles({"image": scan, "label": label, **SENT})
