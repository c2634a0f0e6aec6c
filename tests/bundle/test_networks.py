"""The dual-task network: size, geometry, weight standardisation, fusion, export."""

from __future__ import annotations

import math

import pytest
import torch
from monai.networks.nets import DynUNet, SegResNet
from torch import nn

from dualtask.distances.heaviside import per_structure
from dualtask.inferers.heads import head_outputs
from dualtask.networks import DualTaskNet, DynUNetBackbone, ResidualUNet, SegResNetBackbone
from dualtask.networks.fusion import fused, memberships, nested
from dualtask.networks.weight_standardisation import standardise

SHARPNESS = (10.0, 5.0)


def net(width: int = 8, weight_standardisation: bool = True) -> DualTaskNet:
    torch.manual_seed(0)
    return DualTaskNet(ResidualUNet(width=width, weight_standardisation=weight_standardisation), SHARPNESS)


def test_the_paper_width_has_about_the_paper_size():
    parameters = sum(parameter.numel() for parameter in net(width=32).parameters())
    assert parameters == pytest.approx(19.0e6, rel=0.1)


@pytest.mark.parametrize("backbone", [ResidualUNet, SegResNetBackbone, DynUNetBackbone])
@pytest.mark.parametrize("shape", [(16, 16, 16), (17, 23, 9), (8, 31, 20)])
def test_any_size_of_image_gives_outputs_of_that_size(shape, backbone):
    image = torch.rand(2, 1, *shape)
    model = DualTaskNet(backbone(width=8), SHARPNESS).eval()
    heads = model.heads(image)
    assert heads.logits.shape == heads.distance.shape == (2, 2, *shape)
    assert heads.embedding.shape == (2, 32, *(-(-side // 8) for side in shape))
    assert model(image).shape == (2, 3, *shape)


def test_the_backbone_of_monai_differs_from_its_network_in_the_last_convolution_only():
    torch.manual_seed(0)
    ours = SegResNetBackbone(width=8)
    reference = SegResNet(init_filters=8, blocks_down=(1, 2, 2, 4), blocks_up=(1, 1, 1))
    same = reference.load_state_dict(ours.state_dict(), strict=False)
    assert all(key.startswith("conv_final") for key in same.missing_keys)
    assert all(key.startswith("out_norm") for key in same.unexpected_keys)
    reference.conv_final = nn.Sequential(ours.out_norm, nn.ReLU())
    image = torch.rand(1, 1, 16, 16, 16)
    torch.testing.assert_close(ours.eval()(image)[0], reference.eval()(image))


def test_the_network_of_nnunet_differs_from_monais_in_the_last_convolution_only():
    torch.manual_seed(0)
    ours = DynUNetBackbone(width=8)
    reference = DynUNet(3, 1, 1, [3] * 4, [1, 2, 2, 2], [2] * 3, filters=[8, 16, 32, 64])
    same = reference.load_state_dict(ours.state_dict(), strict=False)
    assert not same.unexpected_keys
    assert all(key.startswith(("output_block", "skip_layers")) for key in same.missing_keys)
    image = torch.rand(1, 1, 16, 16, 16)
    torch.testing.assert_close(ours(image)[0], reference.skip_layers(image))


def test_gradient_checkpointing_gives_the_same_gradients_from_fewer_kept_activations():
    plain, saving = net().eval(), DualTaskNet(ResidualUNet(width=8, gradient_checkpointing=True), SHARPNESS).eval()
    saving.load_state_dict(plain.state_dict())
    image = torch.rand(1, 1, 16, 16, 16)
    kept = []
    for model in (plain, saving):
        stored: list[int] = []

        def keep(tensor: torch.Tensor, stored: list[int] = stored) -> torch.Tensor:
            stored.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = model(image).square().mean()
        loss.backward()
        kept.append(sum(stored))
    assert kept[1] < 0.7 * kept[0]
    for expected, actual in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad)


def test_a_width_that_the_groups_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of 8"):
        ResidualUNet(width=12)


def test_standardised_weights_have_zero_mean_and_the_variance_that_a_relu_network_needs():
    weight = standardise(torch.randn(6, 4, 3, 3, 3) * 7 + 2)
    flat = weight.flatten(1)
    gain_squared = 2 / (1 - 1 / math.pi)
    torch.testing.assert_close(flat.mean(1), torch.zeros(6), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        flat.var(1, unbiased=False), torch.full((6,), gain_squared / (4 * 27)), rtol=1e-4, atol=0
    )


def test_standardising_twice_changes_nothing():
    weight = standardise(torch.randn(6, 4, 3, 3, 3))
    torch.testing.assert_close(standardise(weight), weight, rtol=1e-5, atol=1e-7)


def test_a_training_checkpoint_folds_exactly_into_the_plain_network_and_back():
    trained, plain, again = net().eval(), net(weight_standardisation=False).eval(), net().eval()
    assert any("parametrizations" in key for key in trained.state_dict())
    plain.load_state_dict(trained.state_dict())
    assert not any("parametrizations" in key for key in plain.state_dict())
    image = torch.rand(1, 1, 16, 16, 16)
    torch.testing.assert_close(plain(image), trained(image), rtol=0, atol=1e-6)
    again.load_state_dict(plain.state_dict())
    torch.testing.assert_close(again(image), trained(image), rtol=0, atol=1e-5)


def test_a_fresh_network_puts_every_voxel_near_the_surface():
    heads = net(width=16).heads(torch.rand(1, 1, 32, 32, 32))
    assert heads.distance.abs().max() < 0.1
    assert heads.logits.abs().max() < 10


def test_both_heads_reach_the_shared_backbone():
    for head in ("logits", "distance"):
        model = net()
        getattr(model.heads(torch.rand(1, 1, 16, 16, 16)), head).square().mean().backward()
        gradients = [p.grad for p in model.backbone.parameters()]
        assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
        assert sum(gradient.abs().sum() for gradient in gradients) > 0


def test_channels_last_gives_the_same_result():
    model = net().eval()
    image = torch.rand(1, 1, 16, 16, 16)
    expected = model(image)
    actual = model.to(memory_format=torch.channels_last_3d)(image.to(memory_format=torch.channels_last_3d))
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def test_the_arg_max_of_the_memberships_equals_both_thresholds_with_the_lesion_inside_the_organ():
    pancreas, lesion = torch.meshgrid(torch.linspace(0, 1, 52), torch.linspace(0, 1, 52), indexing="ij")
    label = memberships(torch.stack([pancreas, lesion])[None]).argmax(1)[0]
    expected = torch.where(pancreas > 0.5, torch.where(lesion > 0.5, 2, 1), 0)
    assert torch.equal(label, expected)


def test_what_is_lesion_is_organ_unless_the_organ_is_excluded():
    masks = torch.tensor([[0.2, 0.8, 0.05], [0.7, 0.3, 0.7]])[None]
    torch.testing.assert_close(nested(masks), torch.tensor([[0.7, 0.8, 0.05], [0.7, 0.3, 0.0]])[None])


def constant(model: DualTaskNet, logits: float, distance: float) -> DualTaskNet:
    """The network with heads that say one thing everywhere."""
    for head, value in ((model.classification, logits), (model.regression, distance)):
        nn.init.zeros_(head.weight)
        nn.init.constant_(head.bias, value)
    return model


@pytest.mark.parametrize(
    ("fusion", "share"),
    [("classification", 0.0), ("mean", 0.5), ("regression", 1.0), ("regression_of_organ", 1.0)],
)
def test_the_fusion_is_the_mean_of_the_logits_of_the_two_heads(fusion, share):
    model = constant(DualTaskNet(ResidualUNet(width=8), SHARPNESS, fusion), logits=-3.0, distance=-0.5)
    background = model(torch.rand(1, 1, 8, 8, 8))[:, 0]
    logits = (1 - share) * -3.0 + share * 0.5 * SHARPNESS[0]
    torch.testing.assert_close(background, torch.full((1, 8, 8, 8), 1 / (1 + math.exp(logits))))


def test_the_organ_may_come_from_the_distance_and_the_lesion_from_the_classification():
    model = constant(DualTaskNet(ResidualUNet(width=8), SHARPNESS, "regression_of_organ"), logits=-3.0, distance=-0.5)
    lesion = model(torch.rand(1, 1, 8, 8, 8))[:, 2]
    torch.testing.assert_close(lesion, torch.full((1, 8, 8, 8), 1 / (1 + math.exp(3.0))))


def test_a_distance_beyond_the_truncation_weighs_no_more_in_the_fusion_than_the_truncation():
    logits = torch.tensor([1.0, -2.0])[None, :, None, None, None]
    at_the_cut, beyond = (
        fused(logits, torch.full_like(logits, distance), per_structure(SHARPNESS), per_structure((0.5, 0.5)))
        for distance in (1.0, 40.0)
    )
    assert torch.equal(beyond, at_the_cut)
    torch.testing.assert_close(beyond.flatten(), torch.sigmoid(torch.tensor([(1 - 10) / 2, (-2 - 5) / 2])))


@pytest.mark.parametrize(("bounded", "distance"), [(False, 5.0), (True, math.tanh(5.0))])
def test_the_regression_head_is_linear_and_ends_in_tanh_as_published_when_asked(bounded, distance):
    model = constant(DualTaskNet(ResidualUNet(width=8), SHARPNESS, bounded=bounded), logits=0.0, distance=5.0)
    heads = model.heads(torch.rand(1, 1, 8, 8, 8))
    torch.testing.assert_close(heads.distance, torch.full((1, 2, 8, 8, 8), distance))


def test_distances_stay_in_single_precision_under_autocast():
    model = constant(net(), logits=0.0, distance=1 / 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        heads = model.heads(torch.rand(1, 1, 8, 8, 8))
    torch.testing.assert_close(heads.distance, torch.full((1, 2, 8, 8, 8), 1 / 3), rtol=1e-6, atol=0)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
@pytest.mark.parametrize(
    "backbone",
    [
        ResidualUNet(width=8, weight_standardisation=False),
        SegResNetBackbone(width=8),
        DynUNetBackbone(width=8),
    ],
)
def test_the_plain_network_exports_to_torchscript(backbone):
    model = DualTaskNet(backbone, SHARPNESS).eval()
    image = torch.rand(1, 1, 17, 16, 16)
    torch.testing.assert_close(torch.jit.script(model)(image), model(image))


@pytest.mark.parametrize("slices", [5, 8, 9])
def test_thin_scans_get_the_result_of_single_precision(slices):
    """oneDNN's strided convolution in bf16 makes nonsense of two slices."""
    torch.manual_seed(0)
    model = DualTaskNet(DynUNetBackbone(width=16), SHARPNESS).eval()
    image = torch.rand(1, 1, 96, 80, slices)
    with torch.no_grad():
        exact = model.heads(image).logits
        logits = head_outputs(image, model)[:, : exact.shape[1]]
    assert (logits - exact).abs().mean() < 0.05 * exact.std()


def test_bfloat16_agrees_with_single_precision():
    model = net(width=16).eval()
    image = torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        exact = model.heads(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = model.heads(image)
    scale = exact.logits.std()
    assert (rounded.logits.float() - exact.logits).abs().mean() < 0.05 * scale


@pytest.mark.parametrize("prior", [0.01, 0.5])
def test_a_fresh_network_gives_each_structure_its_prior_probability(prior):
    model = DualTaskNet(DynUNetBackbone(width=8), SHARPNESS, prior=prior).eval()
    nn.init.zeros_(model.classification.weight)
    masks = torch.sigmoid(model.heads(torch.rand(1, 1, 16, 16, 16)).logits)
    torch.testing.assert_close(masks, torch.full_like(masks, prior))
