"""A site's file and its data folder give the bundle's list of cases, and labels arrive as the bundle knows them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest

from dicom_series import write_series
from dualtask.errors import InputError
from dualtask.evaluation import score_cases
from dualtask.nifti import save_nifti
from dualtask.phantom.generator import generate_case
from dualtask.phantom.sites import SITES
from dualtask.scans import LoadLabeld, LoadScand, decathlon_datalist
from dualtask.scans.reading import read_volume
from dualtask_research.sites import read_site, site_cases
from dualtask_research.sites.cases import labels_without_scan
from dualtask_research.sites.combination import combine_sites
from dualtask_research.sites.folds import deal_folds
from site_copies import turned, write_folder, write_nih, write_partial, write_synapse

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "sites"
NIH = replace(read_site(CONFIGS / "nih_pancreas_ct.json"), annotates=("pancreas",))
SYNAPSE = read_site(CONFIGS / "btcv.json")
PARTIAL = read_site(CONFIGS / "msd_partial.json")
FOLDER = read_site(CONFIGS / "folder.json")


def load(case: dict):
    return LoadLabeld("label", image_key="image")(LoadScand("image")(case))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.json")), ids=lambda path: path.stem)
def test_every_site_file_says_what_a_user_must_know(path):
    site = read_site(path)
    assert site.name == path.stem
    assert site.licence and site.source and len(site.description) > 50
    assert {"background", "pancreas"} <= set(site.label_map.values()) <= {"background", *site.annotates}


def test_the_public_sites_state_the_numbers_of_cases():
    assert read_site(CONFIGS / "msd_task07_pancreas.json").cases == (281, 281)
    assert NIH.cases == (80, 82)
    assert SYNAPSE.cases == (30, 30)


def site_file(folder: Path, **changes: object) -> Path:
    content = json.loads((CONFIGS / "folder.json").read_text()) | changes
    path = folder / "mine.json"
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"licence": None}, "must state"),
        ({"organ": "pancreas"}, "nothing beyond"),
        ({"layout": {"image": "(", "label": "x"}}, "cannot be read"),
        ({"layout": {"image": "(.*)", "label": "(.*)"}}, "case"),
        ({"label_map": {"0": "background", "1": "liver"}}, "label name liver"),
        ({"label_map": {"one": "pancreas"}}, "whole numbers"),
        ({"annotates": ["pancreas"]}, "lesion, which it does not annotate"),
        ({"annotates": ["pancreas", "lesion", "liver"]}, "annotates liver"),
        ({"label_axes": "LAX"}, "label axes LAX"),
        ({"cases": [1]}, "cannot be read"),
        ({"unknown": "air"}, "states 'air' for unknown voxels"),
        ({"unknown": True}, "states True for unknown voxels"),
        ({"unknown": float("nan")}, "states nan for unknown voxels"),
    ],
)
def test_a_site_that_contradicts_itself_is_refused(changes, words, tmp_path):
    path = site_file(tmp_path, **changes)
    with pytest.raises(InputError, match=words) as refusal:
        read_site(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_site_file_that_is_none_is_refused(content, tmp_path):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=r"x\.json"):
        read_site(tmp_path / "x.json")


def test_a_site_without_a_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="There is no site"):
        read_site(tmp_path / "x.json")


def test_a_decathlon_folder_gives_its_cases_with_what_the_site_states(small_dataset):
    cases = site_cases(CONFIGS / "msd_task07_pancreas.json", small_dataset)
    assert len(cases) == 4
    assert all(case["annotates"] == ["pancreas", "lesion"] for case in cases)
    assert {case["site"] for case in cases} == {"coastal", "valley"}, "what a case says itself comes first"


def test_a_case_without_a_site_of_its_own_gets_that_of_the_file(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"x")
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [{"image": "a.nii.gz"}]}))
    (case,) = site_cases(CONFIGS / "msd_task07_pancreas.json", tmp_path)
    assert case["site"] == "msd_task07_pancreas"


def test_what_stands_for_unknown_voxels_is_stated_by_the_site_or_by_a_case(tmp_path):
    touch(tmp_path, "a.nii.gz", "b.nii.gz", "c.nii.gz")
    own = {"a": {}, "b": {"unknown": 0}, "c": {"unknown": None}}
    listed = [{"image": f"{name}.nii.gz"} | stated for name, stated in own.items()]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": listed}))
    msd = read_site(CONFIGS / "msd_task07_pancreas.json")
    assert ["unknown" in case for case in site_cases(msd, tmp_path)] == [False, True, True]
    assert [case["unknown"] for case in site_cases(replace(msd, unknown=-1024.0), tmp_path)] == [-1024, 0, None]


def touch(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")
    return folder


def test_series_and_labels_of_nih_are_paired_by_number_wherever_they_were_unpacked(tmp_path):
    touch(
        tmp_path,
        "manifest-1/Pancreas-CT/PANCREAS_0002/study/series/1-001.dcm",
        "manifest-1/Pancreas-CT/PANCREAS_0001/study/series/1-001.dcm",
        "manifest-1/Pancreas-CT/LICENSE",
        "labels/label0001.nii.gz",
        "labels/label0025.nii.gz",
    )
    first, second = site_cases(NIH, tmp_path)
    assert first["image"] == str(tmp_path / "manifest-1/Pancreas-CT/PANCREAS_0001/study/series")
    assert first["label"] == str(tmp_path / "labels/label0001.nii.gz")
    assert (first["site"], first["annotates"], first["label_axes"]) == ("nih_pancreas_ct", ["pancreas"], "LAI")
    assert "label" not in second
    assert labels_without_scan(NIH, tmp_path) == ["labels/label0025.nii.gz"]


def test_a_folder_may_mix_nifti_nrrd_and_dicom(tmp_path):
    touch(tmp_path, "images/a.nii", "images/b.nii.gz", "images/c.nrrd", "images/d/IM0", "images/.e.nii", "notes.txt")
    touch(tmp_path, *(f"labels/{name}.nii.gz" for name in "abcd"))
    pairs = [(Path(case["image"]).name, Path(case["label"]).name) for case in site_cases(FOLDER, tmp_path)]
    assert pairs == [
        ("a.nii", "a.nii.gz"),
        ("b.nii.gz", "b.nii.gz"),
        ("c.nrrd", "c.nii.gz"),
        ("d", "d.nii.gz"),
    ]


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        ((), "holds no scan of folder"),
        (("labels/a.nii.gz",), "holds no scan of folder"),
        (("images/a.nii.gz", "images/a.nrrd"), "for the case a: remove the wrong one"),
        (("images/a.nii.gz", "labels/a.nii.gz", "labels/a.nii"), "for the case a: remove the wrong one"),
    ],
)
def test_a_folder_that_does_not_fit_its_site_is_refused(paths, words, tmp_path):
    with pytest.raises(InputError, match=words):
        site_cases(FOLDER, touch(tmp_path, *paths))


def test_a_data_folder_that_does_not_exist_is_refused_with_the_place_to_get_it(tmp_path):
    with pytest.raises(InputError, match=r"is no folder.*cancerimagingarchive"):
        site_cases(NIH, tmp_path / "absent")


@pytest.mark.parametrize(("column_direction", "row"), [(1, 2), (-1, 3)])
def test_labels_that_run_left_front_feet_land_on_their_voxels_however_the_rows_run(column_direction, row, tmp_path):
    """The label's voxel (2, 3, 0) is the third from the right, fourth from behind, first from the head."""
    rows, columns, slices = 6, 5, 4

    def turn(_: int, header) -> None:
        header.ImageOrientationPatient = [1, 0, 0, 0, column_direction, 0]

    scan = write_series(tmp_path / "scan", rows=rows, columns=columns, change=turn)
    label = np.zeros((columns, rows, slices), np.uint8)
    label[2, 3, 0] = 1
    save_nifti(tmp_path / "label.nii.gz", label, np.eye(4))
    case = {"image": str(scan), "label": str(tmp_path / "label.nii.gz"), "label_axes": "LAI"}
    loaded = load(case | {"label_map": {"0": "background", "1": "pancreas"}})
    np.testing.assert_array_equal(loaded["label"].affine, loaded["image"].affine)
    assert loaded["image"][loaded["label"] == 1].tolist() == [100 * (slices - 1) + 10 * row + 2 - 1024]


def test_nih_labels_land_on_the_organ(tmp_path):
    phantom = generate_case(SITES["coastal"], 0, 0, 72)
    (case,) = site_cases(NIH, write_nih(tmp_path, [phantom]))
    loaded = load(case)
    assert not {"label_map", "label_axes"} & set(loaded), "they are used up"
    ours, _ = turned(np.asarray(loaded["label"][0]), np.asarray(loaded["label"].affine), "RAS")
    expected, _ = turned(phantom.label > 0, phantom.affine, "RAS")
    np.testing.assert_array_equal(ours, expected)


def test_a_right_mask_of_a_nih_scan_scores_one_and_its_lesion_is_not_scored(tmp_path):
    phantom = generate_case(SITES["coastal"], 0, 0, 72)
    cases = site_cases(NIH, write_nih(tmp_path / "nih", [phantom]))
    affine = np.asarray(read_volume(cases[0]["image"]).affine)
    mask, _ = turned(phantom.label, phantom.affine, "".join(nib.aff2axcodes(affine)))
    save_nifti(tmp_path / "out/Pancreas-1_seg.nii.gz", mask, affine)
    assert mask.max() == 2, "the mask has a lesion, which the site says nothing about"
    (row,) = score_cases(cases, tmp_path / "out", tmp_path / "out")
    assert (row["structure"], row["dice"]) == ("pancreas", 1)


def test_of_the_organs_of_btcv_the_pancreas_is_ours_and_test_scans_are_passed_over(tmp_path):
    phantom = generate_case(SITES["coastal"], 0, 0, 72)
    write_synapse(tmp_path, [phantom])
    for folder in (tmp_path, tmp_path / "RawData", tmp_path / "RawData/Training"):
        (case,) = site_cases(SYNAPSE, folder)
        assert Path(case["image"]).name == "img0001.nii.gz"
        assert case["annotates"] == ["pancreas", "lesion"], "no lesion is known: healthy"
    expected = (phantom.label > 0).astype(np.uint8)
    expected[:14, 0, 0] = np.arange(14) == 11
    np.testing.assert_array_equal(np.asarray(load(case)["label"][0]), expected)


def test_a_site_of_pairs_outweighs_what_a_dataset_json_says(tmp_path):
    touch(tmp_path, *(f"{folder}/btcv0005.nii.gz" for folder in ("imagesTr", "labelsTr", "organs")))
    listed = {"image": "imagesTr/btcv0005.nii.gz", "label": "labelsTr/btcv0005.nii.gz", "annotates": ["pancreas"]}
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [listed]}))
    (case,) = site_cases(CONFIGS / "btcv_assembled.json", tmp_path)
    assert case["label"] == str(tmp_path / "labelsTr/btcv0005.nii.gz")
    assert case["organs"] == str(tmp_path / "organs/btcv0005.nii.gz")
    assert case["annotates"] == ["pancreas", "lesion"]


AFFINE = np.diag([1.0, 1.2, 2.0, 1.0])
SCAN = (np.arange(60).reshape(5, 4, 3) - 30).astype(np.int16)


def test_values_of_a_site_become_those_of_the_bundle(tmp_path):
    label = np.zeros(SCAN.shape, np.uint8)
    label[0, 0], label[1, 1], label[2, 2] = [5, 7, 9], [7, 7, 7], [9, 9, 0]
    site = replace(FOLDER, label_map={"0": "background", "5": "background", "7": "pancreas", "9": "lesion"})
    loaded = load(site_cases(site, write_folder(tmp_path, a=(SCAN, label, AFFINE)))[0])["label"]
    expected = np.select([label == 7, label == 9], [1, 2], 0)
    np.testing.assert_array_equal(np.asarray(loaded[0]), expected)


def test_values_that_the_site_does_not_name_are_refused(tmp_path):
    label = np.where(SCAN > 20, 2, 0).astype(np.uint8)
    site = replace(FOLDER, label_map={"0": "background", "1": "pancreas"})
    (case,) = site_cases(site, write_folder(tmp_path, a=(SCAN, label, AFFINE)))
    with pytest.raises(InputError, match="label values 2, known are 0, 1"):
        load(case)


def test_labels_may_be_nrrd(tmp_path):
    save_nifti(tmp_path / "images/a.nii.gz", SCAN, AFFINE)
    (tmp_path / "labels").mkdir()
    header = {"space": "right-anterior-superior", "space directions": AFFINE[:3, :3], "space origin": [0, 0, 0]}
    nrrd.write(str(tmp_path / "labels/a.nrrd"), (SCAN > 0).astype(np.uint8), header)
    loaded = load(site_cases(FOLDER, tmp_path)[0])["label"]
    np.testing.assert_array_equal(np.asarray(loaded[0]), SCAN > 0)


def test_sites_joined_in_one_data_set_train_with_what_each_annotates(tmp_path, small_dataset, workflow):
    """The whole way: a site's label map, axes and annotated structures reach the bundle's own preprocessing."""
    nih = write_nih(tmp_path / "nih", [generate_case(SITES["metro"], 0, number, 72) for number in (0, 1)])
    msd = read_site(CONFIGS / "msd_task07_pancreas.json")
    combine_sites([(msd, small_dataset), (NIH, nih)], tmp_path / "all", {msd.name: {}, NIH.name: {}})
    built = workflow("train.json", dataset_dir=str(tmp_path / "all"))
    training, validation = built.parser.get_parsed_content("cases")
    assert len(training) + len(validation) == 6
    case = next(case for case in training + validation if case["site"] == NIH.name)
    prepared = built.parser.get_parsed_content("preprocessing")(case)
    assert prepared["annotated"].tolist() == [1, 0]
    assert prepared["label"].unique().tolist() == [0, 1]


def test_what_is_not_known_survives_the_joining_of_sites(tmp_path):
    phantom = generate_case(SITES["coastal"], 0, 0, 72)
    copies = [
        (PARTIAL, write_partial(tmp_path / "partial", [phantom])),
        (FOLDER, write_folder(tmp_path / "whole", a=(phantom.image, phantom.label, phantom.affine))),
    ]
    combine_sites(copies, tmp_path / "all", {PARTIAL.name: {}, FOLDER.name: {}})
    partial, whole = decathlon_datalist(tmp_path / "all")
    assert (partial["site"], partial["unknown"]) == ("msd_partial", -1024)
    assert "unknown" not in whole


def test_a_scan_of_two_sites_stays_with_the_first_named(tmp_path):
    site, other = replace(FOLDER, name="ours"), replace(FOLDER, name="theirs")
    ours = touch(tmp_path / "ours", "images/a.nii.gz", "images/b.nii.gz")
    theirs = touch(tmp_path / "theirs", "images/x.nii.gz", "images/y.nii.gz")
    fingerprints = {
        "ours": {"images/a.nii.gz": ["1", "2"], "images/b.nii.gz": ["3", "4"]},
        "theirs": {"images/x.nii.gz": ["4", "3"], "images/y.nii.gz": ["5", "6"]},
        "elsewhere": {"z": ["5", "6"]},
    }

    def names(*copies) -> list[str]:
        combine_sites(copies, tmp_path / "all", fingerprints)
        listed = json.loads((tmp_path / "all/dataset.json").read_text())["training"]
        return [Path(case["image"]).name[0] for case in listed]

    assert names((site, ours), (other, theirs)) == ["a", "b", "y"]
    assert names((other, theirs), (site, ours)) == ["x", "y", "a"]


def test_sites_are_joined_only_when_each_was_checked(tmp_path):
    copy = touch(tmp_path / "ours", "images/a.nii.gz")
    with pytest.raises(InputError, match="was not checked"):
        combine_sites([(FOLDER, copy)], tmp_path / "all", {})
    with pytest.raises(InputError, match="named twice"):
        combine_sites([(FOLDER, copy)] * 2, tmp_path / "all", {"folder": {}})


def test_patients_are_dealt_into_folds_in_the_order_of_their_names(tmp_path, small_dataset):
    dealt = deal_folds(small_dataset, {"valley": "patients"}, 2, tmp_path)
    assert dealt == {"coastal": 2, "patients_1": 1, "patients_2": 1}
    cases = {Path(case["image"]).name: case for case in decathlon_datalist(tmp_path)}
    assert {name: case["site"] for name, case in cases.items()} == {
        "coastal_000.nii.gz": "coastal",
        "coastal_001.nii.gz": "coastal",
        "valley_000.nii.gz": "patients_1",
        "valley_001.nii.gz": "patients_2",
    }
    (before,) = (case for case in decathlon_datalist(small_dataset) if case["image"].endswith("valley_001.nii.gz"))
    assert cases["valley_001.nii.gz"] == before | {"site": "patients_2"}


def test_a_site_may_be_in_no_fold_and_one_that_is_too_small_is_refused(tmp_path, small_dataset):
    assert deal_folds(small_dataset, {"valley": "patients"}, 1, tmp_path, ("coastal",)) == {"patients_1": 2}
    with pytest.raises(InputError, match="has 2 cases of valley: 3 folds"):
        deal_folds(small_dataset, {"valley": "patients"}, 3, tmp_path)
