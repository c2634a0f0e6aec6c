"""Whole workflows: training learns and can be resumed from its checkpoint, inference keeps the scan's geometry."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.transforms import MapTransform, SaveImaged

from dualtask.errors import find_input_error
from dualtask.evaluation import score_cases
from dualtask.scans import decathlon_datalist
from small_workflows import SMALL_GRID

ROUNDING = 1e-5  # of an interpolation
ABLATIONS = Path(__file__).parents[2] / "configs" / "ablation"


def train(workflow, dataset: Path, folder: Path, *overlays: str, epochs: int = 2, **overrides) -> list[dict]:
    """Train on a coarse grid; returns the history."""
    built = workflow(
        "train.json",
        *overlays,
        **{
            "dataset_dir": str(dataset),
            "ckpt_dir": str(folder),
            "image_format": SMALL_GRID,
            "train#trainer#max_epochs": epochs,
            "val_interval": 1,
            "train#dataloader#num_workers": 0,
            "tracking_uri": "",
            **overrides,
        },
    )
    built.run()
    return json.loads((Path(built.parser.get_parsed_content("output_dir")) / "history.json").read_text())


def test_training_lowers_the_loss_and_every_supervised_term_and_saves_the_best_network(
    workflow, small_dataset, tmp_path
):
    history = train(workflow, small_dataset, tmp_path / "models", epochs=6, learning_rate=0.01)
    first, last = history[0], history[-1]
    assert last["loss"] < first["loss"]
    for term in ("classification", "regression", "distance_to_mask"):
        assert last["terms"][term] < first["terms"][term]
    assert all(0 <= epoch["validation"]["val_mean_dice"] <= 1 for epoch in history)
    state = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    assert all(isinstance(values, torch.Tensor) for values in state.values())


def test_fine_tuning_starts_from_the_given_weights_and_keeps_the_previous_file(workflow, small_dataset, tmp_path):
    folder, trained = tmp_path / "models", tmp_path / "scratch" / "model.pt"
    folder.mkdir()
    train(workflow, small_dataset, trained.parent, epochs=1, learning_rate=0.01)
    weights = shutil.copy(trained, folder / "model.pt")
    # Steps of no length leave what it started from.
    train(workflow, small_dataset, folder, "finetune.json", epochs=1, weights=str(weights), learning_rate=0.0)
    started = torch.load(folder / "model.pt", weights_only=True)
    torch.testing.assert_close(started, torch.load(trained, weights_only=True), rtol=0, atol=1e-6)
    assert (folder / "model_previous.pt").read_bytes() == trained.read_bytes()


def test_validation_by_a_localiser_maps_whole_scans_as_inference_does(workflow, small_dataset, tmp_path):
    small = {"image_format": SMALL_GRID}
    training = workflow("train.json", dataset_dir=str(small_dataset), **small).parser
    localising = workflow("train.json", "localiser.json", dataset_dir=str(small_dataset), **small).parser
    weights = {"weights": str(tmp_path / "model.pt"), "localiser_weights": str(tmp_path / "localiser.pt")}
    for path, parser in zip(weights.values(), (training, localising), strict=True):
        torch.save(parser.get_parsed_content("network").state_dict(), path)

    overlays = ["finetune.json", "localised_validation.json"]
    validating = workflow("train.json", *overlays, dataset_dir=str(small_dataset), **small, **weights).parser
    inference = workflow(
        "inference.json", workflow_type="infer", datalist=[], **{"inferer#flips": []}, **small, **weights
    )
    case = validating.get_parsed_content("cases")[1][0]
    scan = inference.parser.get_parsed_content("preprocessing")({"image": case["image"], "unknown": None})["image"]
    validated = validating.get_parsed_content("validate#dataset")[0]["image"]
    torch.testing.assert_close(validated.as_tensor(), scan.as_tensor(), atol=1e-5, rtol=0)

    maps, expected = (
        parser.get_parsed_content(inferer)(scan[None], parser.get_parsed_content(network))
        for parser, inferer, network in (
            (validating, "validate#inferer", "averaged"),
            (inference.parser, "inferer", "network"),
        )
    )
    assert expected[0, 0].std() > 0
    torch.testing.assert_close(torch.as_tensor(maps), torch.as_tensor(expected), atol=1e-4, rtol=0)


def test_a_training_is_validated_by_a_localiser(workflow, small_dataset, tmp_path):
    folder = tmp_path / "models"
    train(workflow, small_dataset, folder, "localiser.json", epochs=1)
    found = {"localiser_weights": str(folder / "localiser.pt")}
    (epoch,) = train(workflow, small_dataset, folder, "localised_validation.json", epochs=1, **found)
    assert 0 <= epoch["validation"]["val_mean_dice"] <= 1


def test_the_localiser_trains_with_its_overlay(workflow, small_dataset, tmp_path):
    (epoch,) = train(workflow, small_dataset, tmp_path / "models", "localiser.json", epochs=1)
    assert (tmp_path / "models" / "localiser.pt").is_file()
    # The scans of this validation have no lesion: there is no Dice of one.
    assert set(epoch["validation"]) == {"val_pancreas_dice", "val_lesion_specificity"}


def test_a_training_shorter_than_the_interval_of_validation_ends_with_weights(workflow, small_dataset, tmp_path):
    (epoch,) = train(workflow, small_dataset, tmp_path / "models", epochs=1, val_interval=5)
    assert (tmp_path / "models" / "model.pt").is_file()
    assert "val_mean_dice" in epoch["validation"]


def test_the_localiser_is_chosen_by_the_pancreas_alone(workflow, small_dataset):
    """Were the lesion in it, a localiser that finds nothing would be ahead wherever enough scans are healthy."""
    parser = workflow("train.json", "localiser.json", dataset_dir=str(small_dataset)).parser
    (metric,) = parser.get_parsed_content("validate#key_metric").values()
    organ = torch.zeros(2, 4, 4, 4)
    organ[0, :2] = 1
    missed, found = torch.zeros(2, 4, 4, 4), organ.clone()
    found[1, 0] = 1  # and a lesion that is none
    engine = Engine(lambda engine, batch: batch)
    metric.attach(engine, "score")
    scores = [engine.run([[{"pred": pred, "label": organ}]]).metrics["score"] for pred in (missed, found)]
    assert scores == [0, 1]


def test_another_backbone_takes_the_place_of_the_papers_by_config_alone(workflow, small_dataset, tmp_path):
    backbone = {"network_def#backbone": {"_target_": "dualtask.networks.SegResNetBackbone", "width": 8}}
    history = train(workflow, small_dataset, tmp_path / "models", epochs=1, **backbone)
    assert {"classification", "regression", "distance_to_mask", "feature_contrast"} <= set(history[0]["terms"])
    assert "output_consistency" not in history[0]["terms"]  # it is for scans without a label
    inference = {**backbone, "weights": str(tmp_path / "models" / "model.pt"), "image_format": SMALL_GRID}
    workflow("inference.json", workflow_type="infer", datalist=[], **inference).parser.get_parsed_content("network")


@pytest.mark.parametrize("variant", sorted(path.stem for path in ABLATIONS.glob("*.json")))
def test_every_ablation_trains_and_changes_what_its_name_says(variant, workflow, small_dataset, tmp_path):
    overlay = ABLATIONS / f"{variant}.json"
    (epoch,) = train(workflow, small_dataset, tmp_path / "models", str(overlay), epochs=1)
    for key, weight in json.loads(overlay.read_text()).items():
        if key.startswith("loss#weights#"):
            assert (key.removeprefix("loss#weights#") in epoch["terms"]) == (weight > 0)


def test_scans_without_labels_train_beside_labelled_ones(workflow, small_dataset, tmp_path):
    cases = decathlon_datalist(small_dataset)
    unlabelled = {"image": cases[1]["image"]}
    history = train(
        workflow,
        small_dataset,
        tmp_path / "models",
        epochs=1,
        **{"train#dataset#data": [unlabelled], "validate#dataset#data": cases[:1]},
    )
    terms = history[0]["terms"]
    assert terms["output_consistency"] > 0  # off where all scans have a label
    assert terms["cross_task_consistency"] > 0
    assert terms["classification"] == terms["regression"] == terms["distance_to_mask"] == 0


def test_each_site_gets_its_share_of_the_crops(workflow, small_dataset):
    cases = decathlon_datalist(small_dataset)
    settings = {"site_shares": {"coastal": 3.0, "valley": 1.0}, "scans_per_epoch": 5, "train#dataset#data": cases[:3]}
    part = workflow("train.json", dataset_dir=str(small_dataset), **settings).parser.get_parsed_content
    sampler = part("train#sampler")
    assert [case["site"] for case in cases[:3]] == ["coastal", "coastal", "valley"]
    assert sampler.weights.tolist() == [1.5, 1.5, 1.0]
    assert len(list(sampler)) == 5


def test_a_slab_trains_beside_whole_scans(workflow, small_dataset, tmp_path):
    cases = decathlon_datalist(small_dataset)
    scan = nib.load(cases[1]["image"])
    voxels = np.asarray(scan.dataobj).copy()
    voxels[:, :, : voxels.shape[2] // 3] = -3024
    nib.save(nib.Nifti1Image(voxels, scan.affine), tmp_path / "slab.nii.gz")
    slab = {**cases[1], "image": str(tmp_path / "slab.nii.gz"), "unknown": -3024}
    (epoch,) = train(
        workflow,
        small_dataset,
        tmp_path / "models",
        epochs=1,
        **{"train#dataset#data": [cases[0], slab], "validate#dataset#data": [slab]},
    )
    assert np.isfinite(epoch["loss"])
    assert 0 <= epoch["validation"]["val_mean_dice"] <= 1


def test_training_on_a_label_with_an_unknown_value_ends_with_the_sentence_and_saves_nothing(
    workflow, small_dataset, tmp_path
):
    case = decathlon_datalist(small_dataset)[0]
    label = nib.load(case["label"])
    voxels = np.asarray(label.dataobj).copy()
    voxels[0, 0, 0] = 7
    nib.save(nib.Nifti1Image(voxels, label.affine), tmp_path / "label.nii.gz")
    bad = {**case, "label": str(tmp_path / "label.nii.gz")}
    with pytest.raises(RuntimeError) as failure:
        train(workflow, small_dataset, tmp_path / "models", epochs=1, **{"train#dataset#data": [bad]})
    assert "label values 7" in str(find_input_error(failure.value))
    assert not (tmp_path / "models").exists()


def infer(bundle_root: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """The command that users type, away from the repository."""
    config = bundle_root / "configs" / "inference.json"
    return subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(config), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def assert_same_geometry(mask: nib.Nifti1Image, shape: tuple[int, ...], affine: np.ndarray) -> None:
    assert mask.shape == shape
    assert mask.get_data_dtype() == np.uint8
    assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1, 2}
    np.testing.assert_allclose(mask.affine, affine, atol=1e-3)


def test_the_command_returns_masks_in_the_geometry_of_real_scans(shared_data, bundle_root, tmp_path):
    nifti, series = shared_data / "ct_upper_abdomen_3mm.nii.gz", shared_data / "ct_upper_abdomen_dicom"
    outcome = infer(bundle_root, "--datalist", f"['{nifti}','{series}']", "--output_dir", "out", cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    scan = nib.load(nifti)
    assert_same_geometry(nib.load(tmp_path / "out" / "ct_upper_abdomen_3mm_seg.nii.gz"), scan.shape, scan.affine)
    # Position and spacing as the series' own headers give them, turned from patient left-back to right-front.
    affine = np.diag([-0.9765625, -0.9765625, 2.0, 1.0])
    affine[:3, 3] = [249.511719, 437.511719, -804.5]
    assert_same_geometry(nib.load(tmp_path / "out" / "ct_upper_abdomen_dicom_seg.nii.gz"), (512, 512, 20), affine)


@pytest.mark.parametrize("orientation", ["PIR", "LAS", "ASL"])
def test_a_scan_with_permuted_axes_gets_its_mask_in_that_order(orientation, workflow, small_dataset, tmp_path):
    case = decathlon_datalist(small_dataset)[0]
    scan = nib.load(case["image"])
    order = nib.orientations.axcodes2ornt(orientation)
    turned = scan.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(scan.affine), order))
    nib.save(turned, tmp_path / "turned.nii.gz")
    for name, path in (("straight", case["image"]), ("turned", str(tmp_path / "turned.nii.gz"))):
        folder = str(tmp_path / name)
        workflow("inference.json", workflow_type="infer", datalist=[path], output_dir=folder).run()
    mask = nib.load(tmp_path / "turned" / "turned_seg.nii.gz")
    assert_same_geometry(mask, turned.shape, turned.affine)
    (straight,) = (tmp_path / "straight").glob("*_seg.nii.gz")
    same = nib.as_closest_canonical(mask).get_fdata() == nib.as_closest_canonical(nib.load(straight)).get_fdata()
    assert same.mean() > 0.999


def test_a_scan_handed_over_as_an_array_gets_the_same_mask(workflow, small_dataset, tmp_path):
    """What MONAI Deploy's operator does: no reader, no writer, an array of int16 and the metadata beside it."""
    path = decathlon_datalist(small_dataset)[0]["image"]
    workflow("inference.json", workflow_type="infer", datalist=[path]).run()
    (expected,) = (tmp_path / "out").glob("*_seg.nii.gz")
    scan = nib.load(path)
    meta = {"original_affine": scan.affine, "spatial_shape": scan.shape, "original_channel_dim": "no_channel"}
    image = MetaTensor(torch.from_numpy(np.asarray(scan.dataobj).astype(np.int16)), affine=scan.affine, meta=meta)
    parser = workflow("inference.json", "deploy.json", workflow_type="infer", datalist=[]).parser
    preprocessing, inferer, network, postprocessing = (
        parser.get_parsed_content(name) for name in ("preprocessing", "inferer", "network", "postprocessing")
    )
    assert all(isinstance(chain.transforms[0], MapTransform) for chain in (preprocessing, postprocessing))
    postprocessing.transforms = [step for step in postprocessing.transforms if not isinstance(step, SaveImaged)]
    data = preprocessing({"image": image})
    with torch.no_grad():
        pred = inferer(data["image"][None], network)[0]
    mask = postprocessing({**data, "pred": pred})["pred"]
    np.testing.assert_array_equal(mask[0].numpy(), np.asarray(nib.load(expected).dataobj))


def test_synthetic_scans_of_any_orientation_are_segmented_usably(workflow, small_dataset, tmp_path):
    folder = tmp_path / "out"
    built = workflow("inference.json", "evaluate.json", workflow_type="infer", dataset_dir=str(small_dataset))
    built.run()
    cases = decathlon_datalist(small_dataset)
    rows = score_cases(cases, folder, folder)
    for case in cases:
        scan = nib.load(case["image"])
        name = Path(case["image"]).name.replace(".nii.gz", "_seg.nii.gz")
        assert_same_geometry(nib.load(folder / name), scan.shape, scan.affine)
    pancreas = [row["dice"] for row in rows if row["structure"] == "pancreas"]
    # Far below what default data gives: these scans have a matrix of 72. Noise would score near zero.
    assert np.mean(pancreas) > 0.4


def test_maps_are_saved_beside_the_mask_in_the_geometry_of_the_scan(workflow, small_dataset, tmp_path):
    case = decathlon_datalist(small_dataset)[0]
    names = ["probability", "distance", "uncertainty"]
    workflow("inference.json", workflow_type="infer", datalist=[case["image"]], maps=names).run()
    scan, stem = nib.load(case["image"]), Path(case["image"]).name.removesuffix(".nii.gz")
    maps = {}
    for name in names:
        saved = nib.load(tmp_path / "out" / f"{stem}_{name}.nii.gz")
        assert saved.shape == (*scan.shape, 2)
        np.testing.assert_allclose(saved.affine, scan.affine, atol=1e-3)
        maps[name] = saved.get_fdata()
    mask = nib.load(tmp_path / "out" / f"{stem}_seg.nii.gz").get_fdata()
    assert (maps["probability"][mask > 0][:, 0] > 0.5).all()
    assert 0 <= maps["uncertainty"].min() < maps["uncertainty"].max() <= 1 + ROUNDING
    assert maps["distance"].min() < 0 < maps["distance"].max()
    for structure, truncation in enumerate((15.0, 7.5)):
        assert np.abs(maps["distance"][..., structure]).max() == pytest.approx(truncation, abs=ROUNDING)
    assert maps["distance"][mask > 0][:, 0].mean() < 0
    header, row = (tmp_path / "out" / "scans.csv").read_text().splitlines()
    assert header.startswith("case,doubt,uncertainty_pancreas,uncertainty_lesion,certainty")
    assert row.startswith(f"{stem},0.") or row.startswith(f"{stem},1.")


BAD = {
    "missing scan": (lambda d: [d / "absent.nii.gz"], [], "does not exist"),
    "NaN": (lambda d: [nan_scan(d)], [], "not numbers"),
    "no weights": (lambda d: [good_scan(d)], ["--bundle_root", "elsewhere"], "No weights"),
}


def good_scan(folder: Path) -> Path:
    voxels = np.random.default_rng(0).integers(-100, 200, (24, 24, 12)).astype(np.float32)
    nib.save(nib.Nifti1Image(voxels, np.diag([5, 5, 6, 1.0])), folder / "good.nii.gz")
    return folder / "good.nii.gz"


def nan_scan(folder: Path) -> Path:
    image = nib.load(good_scan(folder))
    voxels = image.get_fdata()
    voxels[3, 4, 5] = np.nan
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), image.affine), folder / "nan.nii.gz")
    return folder / "nan.nii.gz"


@pytest.mark.parametrize("fault", BAD)
def test_the_command_ends_with_one_sentence_a_failure_code_and_no_output(fault, bundle_root, tmp_path):
    make, options, words = BAD[fault]
    if options:
        (tmp_path / "elsewhere" / "configs").mkdir(parents=True)
        shutil.copy(bundle_root / "configs" / "metadata.json", tmp_path / "elsewhere" / "configs")
    datalist = "[" + ",".join(f"'{path}'" for path in make(tmp_path)) + "]"
    outcome = infer(bundle_root, "--datalist", datalist, "--output_dir", "out", *options, cwd=tmp_path)
    assert outcome.returncode != 0
    assert "Traceback" not in outcome.stderr
    assert outcome.stderr.strip().splitlines()[-1].startswith("error: ")
    assert words in outcome.stderr
    assert not list(tmp_path.glob("out/*"))
