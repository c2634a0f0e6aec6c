"""What the command line wrote of a series, stored in the DICOM server and opened in OHIF. The scan is synthetic."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import requests

pytest.importorskip("playwright", reason="playwright is not installed")
from viewer import Viewer

SITE = "valley"

DRAWN = """() => {
  const [segmentation] = window.services.segmentationService.getSegmentations();
  const images = segmentation?.representationData.Labelmap?.imageIds ?? [];
  const values = images.map(id => window.cornerstone.cache.getImage(id).voxelManager.getScalarData());
  const voxels = index => values.reduce((sum, slice) => sum + slice.filter(value => value === index).length, 0);
  return Object.fromEntries(
    Object.values(segmentation?.segments ?? {}).map(({ label, segmentIndex }) => [label, voxels(segmentIndex)])
  );
}"""
"""Label -> number of voxels of each segment that is opened."""


@pytest.fixture(scope="module")
def stored(orthanc, series, bundle, tmp_path_factory) -> dict[str, int]:
    """Stores segmentation and report of the series' true label; returns the voxels of each segment."""
    from dualtask.dicom_objects import SaveDicomObjects
    from dualtask.measurements import measure_scan
    from dualtask.scans.reading import read_volume
    from lib.dicomweb.series import push_series

    folder, label = tmp_path_factory.mktemp("objects"), read_volume(series[SITE])
    hu, affine = label[0].numpy(), label.affine.numpy()
    truth = nib.load(series[SITE].with_name(f"{SITE}_label.nii.gz"))
    turn = nib.orientations.ornt_transform(nib.io_orientation(truth.affine), nib.io_orientation(affine))
    mask = np.asarray(truth.as_reoriented(turn).dataobj).copy()
    centre = tuple(np.argwhere(mask == 1)[len(np.argwhere(mask == 1)) // 2])
    mask[tuple(slice(index - 1, index + 2) for index in centre)] = 2  # the case has no lesion of its own
    data = {"pred": label.new_tensor(mask)[None], "measurements": measure_scan(mask, hu, affine)}
    SaveDicomObjects(str(folder), bundle.name, bundle.version)(data)
    assert push_series(folder, orthanc.client()) == 2
    segmentation = pydicom.dcmread(folder / f"{SITE}_seg.dcm")
    labels = [str(segment.SegmentLabel) for segment in segmentation.SegmentSequence]
    assert labels == ["pancreas", "lesion 1"]
    return {"pancreas": int((mask == 1).sum()), "lesion 1": int((mask == 2).sum())}


def test_server_lists_segmentation_and_report_beside_the_series(stored, orthanc, uids):
    found = orthanc.client().search_for_series(study_instance_uid=uids[SITE][0])
    assert sorted(entry["00080060"]["Value"][0] for entry in found) == ["CT", "SEG", "SR"]


def test_result_of_the_command_line_is_no_final_label(stored, server, uids):
    objects = requests.get(f"{server}/datastore/?output=all", timeout=60).json()["objects"]
    assert not objects.get(uids[SITE][1], {}).get("labels")


def test_ohif_draws_the_segmentation(stored, page, server, uids, screenshots: Path):
    viewer = Viewer(page, server, screenshots)
    page.goto(f"{server}/ohif/viewer?StudyInstanceUIDs={uids[SITE][0]}")
    page.locator("[data-cy='study-browser-thumbnail-no-image']", has_text="SEG").first.dblclick()
    page.get_by_role("button", name="Yes", exact=True).click()
    page.wait_for_function(f"Object.keys(({DRAWN})()).length > 1")
    page.wait_for_timeout(1500)
    viewer.by_name("confirm-and-hide-button").click()
    viewer.by_name("viewport-pane").hover()
    for _ in range(18):  # to the middle of the scan, where the organ is
        page.mouse.wheel(0, 100)
        page.wait_for_timeout(100)
    viewer.show("segmentation of the command line")
    assert page.evaluate(DRAWN) == stored
