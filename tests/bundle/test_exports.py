"""Both stages, loaded and exported by MONAI's own commands, give on a real scan what the networks give."""

from __future__ import annotations

import monai.bundle
import onnxruntime
import pytest
import torch

STAGES = {"network": "model.pt", "localiser": "localiser.pt"}
SIDES = (64, 48, 40)
LOCALISER = {
    "sharpness": "$[limit / (@step_width * @image_format['localiser_factor']) for limit in @truncation]",
    "backbone": {"_target_": "dualtask.networks.DynUNetBackbone", "width": 16},
}


@pytest.fixture(params=STAGES)
def stage(request) -> str:
    return request.param


@pytest.fixture
def case(workflow, shared_data, stage) -> tuple[torch.Tensor, torch.Tensor]:
    """A part of a real scan as the network sees it, and the network's answer."""
    scan = shared_data / "ct_torso_3mm.nii.gz"
    parser = workflow("inference.json", workflow_type="infer", datalist=[str(scan)]).parser
    image = parser.get_parsed_content("preprocessing")({"image": str(scan)})["image"].as_tensor()
    start = [(have - want) // 2 for have, want in zip(image.shape[1:], SIDES, strict=True)]
    middle = (slice(low, low + want) for low, want in zip(start, SIDES, strict=True))
    image = image[(None, slice(None), *middle)].contiguous()
    assert image.shape == (1, 1, *SIDES)
    with torch.no_grad():
        return image, parser.get_parsed_content(stage)(image)


def export(bundle_command, tool: str, stage: str, path) -> None:
    outcome = bundle_command(
        tool,
        f"{stage}_def",
        f"--filepath={path}",
        f"--ckpt_file=models/{STAGES[stage]}",
        "--config_file=configs/inference.json",
        "--meta_file=configs/metadata.json",
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]


def test_monai_loads_the_trained_network(bundle_root, case, stage):
    options = {} if stage == "network" else {"model_file": "models/localiser.pt", "net_override": LOCALISER}
    network = monai.bundle.load(bundle_root.name, bundle_dir=bundle_root.parent, device="cpu", **options)
    image, expected = case
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(image), expected)


def test_the_torchscript_gives_the_same_result(bundle_command, tmp_path, case, stage):
    export(bundle_command, "ckpt_export", stage, tmp_path / "model.ts")
    image, expected = case
    torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(image), expected, rtol=1e-4, atol=1e-4)


def test_the_onnx_model_gives_the_same_result(bundle_command, tmp_path, case, stage):
    export(bundle_command, "onnx_export", stage, tmp_path / "model.onnx")
    image, expected = case
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    torch.testing.assert_close(torch.from_numpy(result), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens on a machine without TensorRT")
def test_the_tensorrt_overlay_falls_back_to_pytorch(workflow, case, stage):
    image, expected = case
    parser = workflow("inference.json", "inference_trt.json", workflow_type="infer", datalist=[]).parser
    with torch.no_grad():
        torch.testing.assert_close(parser.get_parsed_content(stage)(image), expected)
