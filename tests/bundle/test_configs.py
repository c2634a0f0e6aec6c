"""The configs keep the contracts of MONAI's bundle tools, and what they share is the same."""

from __future__ import annotations

import json
import re

import pytest
import torch

from dualtask.inferers.region import enlarged
from dualtask.phantom.sites import SITES
from dualtask.scans import decathlon_datalist
from dualtask.transforms.downsample import downsample_image
from dualtask.views import AcquisitionView


def read(bundle_root, name: str) -> dict:
    return json.loads((bundle_root / "configs" / name).read_text())


@pytest.mark.parametrize(
    ("configs", "workflow_type"),
    [
        (["train.json"], "train"),
        (["train.json", "localiser.json"], "train"),
        (["train.json", "finetune.json"], "train"),
        (["train.json", "localised_validation.json"], "train"),
        (["train.json", "from_scratch.json"], "train"),
        (["inference.json"], "infer"),
        (["inference.json", "from_scratch.json"], "infer"),
        (["inference.json", "evaluate.json"], "infer"),
        (["inference.json", "archive.json"], "infer"),
        (["inference.json", "archive.json", "archive_dicomweb.json"], "infer"),
    ],
)
def test_every_workflow_has_the_required_properties(configs, workflow_type, workflow, small_dataset):
    built = workflow(*configs, workflow_type=workflow_type, dataset_dir=str(small_dataset))
    assert built.check_properties() == []


def test_training_and_inference_declare_the_same_network_and_preprocessing(bundle_root, workflow, small_dataset):
    train, inference = read(bundle_root, "train.json"), read(bundle_root, "inference.json")
    assert inference["network_def"]["backbone"] == train["network_def"]["backbone"]
    localiser_width = read(bundle_root, "localiser.json")["network_def#backbone#width"]
    assert inference["localiser_def"]["backbone"] == {**train["network_def"]["backbone"], "width": localiser_width}
    assert read(bundle_root, "localised_validation.json")["localiser_def"] == inference["localiser_def"]

    training = workflow("train.json", dataset_dir=str(small_dataset)).parser
    named = {f"@{id_}": training.get_parsed_content(id_) for id_ in ("volumes", "interpolation")}

    def image_part(config: dict) -> list[dict]:
        """What happens to the image and to what is known of it; that inference keeps the scan as well is its own."""
        steps = []
        for entry in config["preprocessing"]["transforms"]:
            step = config[entry.removeprefix("@")] if isinstance(entry, str) else entry
            if "label_key" in step or "_disabled_" in step or step.get("keys") == "label":
                continue
            step = {name: named.get(value, value) if isinstance(value, str) else value for name, value in step.items()}
            step = {name: value for name, value in step.items() if name not in ("hu_key", "_desc_")}
            if isinstance(keys := step.get("keys"), list):
                kept = [index for index, key in enumerate(keys) if key != "label"]
                lists = {name: value for name, value in step.items() if name in ("keys", "mode")}
                step |= {name: [value[index] for index in kept] for name, value in lists.items()}
            steps.append(step)
        return steps

    assert image_part(train) == image_part(inference)
    assert train["network_def"]["fusion"] == inference["network_def"]["fusion"]


def test_weights_from_scratch_are_read_alike_in_training_and_inference(workflow, small_dataset):
    training = workflow("train.json", "from_scratch.json", dataset_dir=str(small_dataset)).parser
    inference = workflow("inference.json", "from_scratch.json", workflow_type="infer", datalist=[]).parser
    for parser, confirmed in ((training, "validate#confirmed_lesion"), (inference, "confirmed_lesion")):
        shares = parser.get_parsed_content("network_def").regression_share.flatten()
        assert shares.tolist() == [1, 0], "the organ from the distance, a lesion from the classification"
        assert parser.get_parsed_content(confirmed) is None, "a lesion has the extent of its probability"


def test_the_localiser_has_the_step_of_its_own_grid_in_training_and_inference(workflow, small_dataset):
    dataset = {"dataset_dir": str(small_dataset)}
    training = workflow("train.json", "localiser.json", **dataset).parser
    inference = workflow("inference.json", workflow_type="infer", datalist=[]).parser
    trained, fine = training.get_parsed_content("network_def"), inference.get_parsed_content("network_def")
    used = inference.get_parsed_content("localiser_def")
    assert torch.equal(used.sharpness, trained.sharpness)
    assert torch.equal(used.sharpness, fine.sharpness / 2)


def test_training_teaches_the_air_of_a_scan_as_inference_shows_it(workflow, small_dataset):
    """A changed scan has air above 0: 0 was but what is not known and not taught, where any answer cost nothing."""
    view = workflow("train.json", dataset_dir=str(small_dataset)).parser.get_parsed_content("view")
    air = torch.zeros(100, 1, 8, 8, 8)
    torch.manual_seed(0)
    as_it_is = (view(air) == 0).all(dim=(1, 2, 3, 4)).sum()
    assert 25 <= as_it_is <= 75


def test_views_change_crops_where_scans_without_a_label_or_the_localiser_are_taught_alone(workflow, small_dataset):
    """With labels they cost the segmentation of unseen sites (docs/explanation/generalisation.md)."""

    def views(*configs: str, **settings) -> list[torch.nn.Module]:
        return workflow(*configs, dataset_dir=str(small_dataset), **settings).parser.get_parsed_content("views")

    (labelled,) = views("train.json")
    assert isinstance(labelled, torch.nn.Identity)
    unlabelled = [{"image": decathlon_datalist(small_dataset)[0]["image"]}]
    for changed in (views("train.json", training_cases=unlabelled), views("train.json", "localiser.json")):
        assert [type(view) for view in changed] == [AcquisitionView]


def test_the_localiser_is_validated_on_scans_completed_as_inference_completes_them(workflow, small_dataset):
    training = workflow("train.json", "localiser.json", dataset_dir=str(small_dataset)).parser
    inference = workflow("inference.json", workflow_type="infer", datalist=[]).parser
    case = training.get_parsed_content("cases")[1][0]["image"]
    validated = training.get_parsed_content("validate#dataset")[0]
    whole = inference.get_parsed_content("preprocessing")({"image": case, "unknown": None})["image"]
    cascade = inference.get_parsed_content("inferer")
    blocks, inside = enlarged(downsample_image(whole[None], cascade.factor), cascade.localiser_size)
    torch.testing.assert_close(validated["image"].as_tensor(), blocks[0].as_tensor(), atol=1e-5, rtol=0)
    # What completes a scan is not scored.
    beyond = validated["known"].clone()
    beyond[(..., *inside)] = 0
    assert beyond.sum() == 0 and validated["known"].sum() > 0


def test_results_leave_the_gpu_before_anything_labels_measures_or_writes_them(workflow):
    parser = workflow("inference.json", workflow_type="infer", datalist=[], maps=["probability"]).parser
    steps = parser.get_parsed_content("postprocessing").flatten().transforms
    names = [type(step).__name__ for step in steps]
    leaving = steps[at := names.index("ToDeviced")]
    assert {"LabelMapd", "MeasureScan", "SaveResultd"} <= set(names[at:])
    assert (set(leaving.keys), leaving.converter.device) == ({"pred", "probability"}, "cpu")


def test_the_ids_that_monai_label_overrides_exist(bundle_root):
    train, inference = read(bundle_root, "train.json"), read(bundle_root, "inference.json")
    assert {"bundle_root", "device", "network_def", "network", "dataset_dir", "val_interval", "run", "training"} <= set(
        train
    )
    assert "max_epochs" in train["train"]["trainer"]
    assert "data" in train["train"]["dataset"]
    assert isinstance(train["train"]["handlers"], list)
    assert {"data"} <= set(train["validate"]["dataset"])
    assert {"evaluator"} <= set(train["validate"])
    assert {"bundle_root", "device", "network_def", "preprocessing", "inferer", "postprocessing", "output_dir"} <= set(
        inference
    )


def test_metadata_states_the_version_in_its_changelog_and_the_three_channels(bundle_root):
    metadata = read(bundle_root, "metadata.json")
    assert metadata["version"] in metadata["changelog"]
    assert next(iter(metadata["network_data_format"]["outputs"])) == "pred"
    pred = metadata["network_data_format"]["outputs"]["pred"]
    assert pred["channel_def"] == {"0": "background", "1": "pancreas", "2": "lesion"}
    assert pred["num_channels"] == 3


def test_the_default_data_is_the_synthetic_sites(bundle_root):
    for name in ("train.json", "inference.json"):
        assert read(bundle_root, name)["dataset_dir"]["_target_"] == "dualtask.phantom.synthetic_dataset"
    assert len(SITES) >= 4


def test_the_configs_know_of_no_site_and_no_unknown_value_by_default(bundle_root):
    train = read(bundle_root, "train.json")
    assert train["site_shares"] == {}
    assert read(bundle_root, "inference.json")["unknown"] is None


def test_every_handler_that_one_process_of_several_leaves_out_has_a_name(bundle_root):
    train, several = read(bundle_root, "train.json"), read(bundle_root, "multi_gpu_train.json")
    named = [key.removesuffix("#_disabled_") for key in several if key.endswith("#_disabled_")]
    for key in named:
        part, name = key.split("#")
        assert f'"@{key}"' in json.dumps(train[part]["handlers"])
        assert "_target_" in train[part][name]
    assert len(named) == 6


def test_no_config_refers_to_the_entry_of_a_list_by_its_number(bundle_root):
    """An entry that is added or moved would be meant by a number from then on; what is referred to has a name."""
    folders = (bundle_root / "configs", bundle_root.parent / "configs")
    configs = [path for folder in folders for path in folder.rglob("*.json")]
    assert len(configs) > 30
    assert [path.name for path in configs if re.search(r"(#|::)\d+\b", path.read_text())] == []


def test_every_loss_term_of_the_config_has_a_weight(bundle_root):
    loss = read(bundle_root, "train.json")["loss"]
    assert set(loss["terms"]) == set(loss["weights"])


def test_the_shipped_weights_are_small_and_belong_to_the_declared_networks(bundle_root, workflow, small_dataset):
    for name in ("model.pt", "localiser.pt"):
        assert (bundle_root / "models" / name).stat().st_size < 20e6
    built = workflow("inference.json", workflow_type="infer", dataset_dir=str(small_dataset))
    assert not built.parser.get_parsed_content("network").training


@pytest.mark.parametrize("network", ["network_def", "localiser_def"])
def test_verify_net_in_out_accepts_the_metadata(network, bundle_command):
    outcome = bundle_command(
        "verify_net_in_out",
        network,
        "--config_file=configs/inference.json",
        "--meta_file=configs/metadata.json",
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]


def test_verify_metadata_accepts_the_metadata(bundle_command, tmp_path):
    """The official schema lies behind a download; this one requires what that of 25 July 2024 does, and a changelog."""
    texts = ["schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "description"]
    texts += ["authors", "copyright"]
    tensor = {"type": "object", "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"]}
    tensors = {"type": "object", "additionalProperties": tensor}
    structures = {
        "required_packages_version": {},
        "changelog": {"additionalProperties": {"type": "string"}},
        "network_data_format": {
            "required": ["inputs", "outputs"],
            "properties": {"inputs": tensors, "outputs": tensors},
        },
    }
    properties = {name: {"type": "string"} for name in texts}
    properties |= {name: {"type": "object", **form} for name, form in structures.items()}
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"type": "object", "required": list(properties), "properties": properties}))
    outcome = bundle_command("verify_metadata", "--meta_file=configs/metadata.json", f"--filepath={schema}")
    assert outcome.returncode == 0, outcome.stderr[-2000:]


def test_inference_averages_over_the_mirror_images_that_training_shows_and_no_others(
    bundle_root, workflow, small_dataset
):
    """On axes that training does not mirror the network is wrong, and takes the average with it."""
    training = workflow("train.json", dataset_dir=str(small_dataset)).parser
    inference = workflow("inference.json", workflow_type="infer", dataset_dir=str(small_dataset)).parser
    axes = inference.get_parsed_content("image_format")["mirrored_axes"]
    assert inference.get_parsed_content("inferer").flips == [[axis] for axis in axes]
    assert [training.get_parsed_content("train#mirror").flipper.spatial_axis] == axes
    options = (bundle_root.parent / "docs" / "reference" / "options.md").read_text()
    (documented,) = (line for line in options.splitlines() if "--inferer#flips" in line)
    assert f"`{[[axis] for axis in axes]}`" in documented
