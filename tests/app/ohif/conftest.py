"""Orthanc with synthetic series, the app on it, and a browser; where one is missing its tests are left out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import pytest
from serving import running_server

from battery.fixtures import copied_repository
from lib.manifest import MANIFEST, checksums, written

MATRIX = 64
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


@pytest.fixture(scope="session")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with the DICOM series of a small case of each of three sites, by site; slices are numbered upwards in
    two of them, downwards in "metro"."""
    from dualtask.phantom.dicom import write_dicom_series
    from dualtask.phantom.generator import generate_case
    from dualtask.phantom.sites import SITES

    folder = tmp_path_factory.mktemp("series")
    for site in ("coastal", "metro", "valley"):
        case = generate_case(SITES[site], 0, 0, MATRIX)
        write_dicom_series(folder / site, case)
        nib.save(nib.Nifti1Image(case.label, case.affine), folder / f"{site}_label.nii.gz")
    return {site: folder / site for site in ("coastal", "metro", "valley")}


@pytest.fixture(scope="session")
def uids(series) -> dict[str, tuple[str, str]]:
    """UIDs of study and series, by site."""
    import pydicom

    headers = {site: pydicom.dcmread(folder / "0001.dcm", stop_before_pixels=True) for site, folder in series.items()}
    return {site: (str(header.StudyInstanceUID), str(header.SeriesInstanceUID)) for site, header in headers.items()}


@pytest.fixture(scope="session")
def orthanc(series, bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A DICOM server with the series, and a segmentation of "metro" that another workstation has stored."""
    from dualtask.errors import InputError
    from lib.dicom_seg import write_segmentation
    from lib.dicomweb.orthanc import find_orthanc, free_port, running_orthanc
    from lib.dicomweb.series import push_series

    try:
        find_orthanc()
    except InputError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("orthanc")
    with running_orthanc(folder, free_port()) as server:
        metro = series["metro"]
        assert push_series(metro.parent, server.client()) == len(series)
        label = metro.with_name("metro_label.nii.gz")
        (folder / "seg").mkdir()
        write_segmentation(folder / "seg" / "label.dcm", metro, label, bundle, annotator="Elsewhere")
        assert push_series(folder / "seg", server.client()) == 1
        yield server


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app and the bundle, to be written beside. Training does not change the weights: as good as before, they are
    published. Every lesion is believed, so that there is one to show."""
    root = copied_repository(tmp_path_factory.mktemp("repository"))
    configs = root / "bundle" / "configs"
    for name, changes in (
        ("finetune.json", {"learning_rate": 0.0}),
        ("inference.json", {"lesion_peak": 0.0}),
    ):
        (configs / name).write_text(json.dumps({**json.loads((configs / name).read_text()), **changes}))
    (root / "bundle" / MANIFEST).write_text(written(checksums(root / "bundle")))
    return root


@pytest.fixture(scope="session")
def server_copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the app's copies of what lies in the DICOM server."""
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="session")
def server(orthanc, repository: Path, server_copies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the app on the DICOM server; it starts without any copy of a scan or label."""
    folder = tmp_path_factory.mktemp("server")
    copies = {"MONAI_LABEL_DICOMWEB_CACHE_PATH": str(server_copies)}
    with running_server(repository, orthanc.url, folder, {**orthanc.environment, **copies}) as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> str:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed: run `apt-get install chromium` as root for the browser test")
    return program


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for screenshots: what DUALTASK_SCREENSHOTS names, to be looked at, or else a temporary one."""
    named = os.environ.get("DUALTASK_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page(chromium: str) -> Iterator:
    """A new page of a new browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(120_000)  # of a busy machine
        yield page
        browser.close()
