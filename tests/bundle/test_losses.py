"""Each term of the loss teaches the head that it is meant to teach, and is zero where that head is right."""

from __future__ import annotations

import pytest
import torch

from dualtask.contrast import LESION, RING
from dualtask.distances import HardStep, SmoothHeaviside, signed_distance
from dualtask.losses import (
    Classification,
    CrossTaskConsistency,
    DiceOfStep,
    DistanceToMask,
    DualTaskLoss,
    FeatureContrast,
    MaskToDistance,
    MeanDistanceError,
    OutputConsistency,
    Regression,
    Strata,
    Targets,
    ViewConsistency,
)
from dualtask.networks.heads import Heads

SPACING = (2.0, 2.0, 2.5)
TRUNCATION = (15.0, 7.5)
HEAVISIDE = SmoothHeaviside(sharpness=[limit / 1.5 for limit in TRUNCATION])
STRATA = Strata(reach=(0.5, 0.0))
SIZE = 16
SUPERVISED = {
    "classification": (Classification(), "logits"),
    "regression": (Regression(STRATA), "distance"),
    "distance_to_mask": (DistanceToMask(HEAVISIDE, STRATA), "distance"),
    "mask_to_distance": (MaskToDistance(SPACING, TRUNCATION, STRATA), "logits"),
    "mean_distance_error": (MeanDistanceError(), "distance"),
    "dice_of_step": (DiceOfStep(HEAVISIDE), "distance"),
}
UNSUPERVISED = {
    "feature_contrast": (FeatureContrast(), "embedding"),
    "output_consistency": (OutputConsistency(), "logits"),
    "cross_task_consistency": (CrossTaskConsistency(HEAVISIDE), "distance"),
    "view_consistency": (ViewConsistency(), "logits"),
}
TERMS = SUPERVISED | UNSUPERVISED
VOXELWISE = sorted(set(TERMS) - {"feature_contrast"})


def targets(case: str = "lesion", annotated: float = 1.0) -> Targets:
    """Two views of one crop with a box-shaped pancreas and the lesion that the case names; the teacher is undecided."""
    masks = torch.zeros(1, 2, SIZE, SIZE, SIZE)
    sites = torch.zeros(1, 1, 2, 2, 2, dtype=torch.uint8)
    if case != "no pancreas":
        masks[0, 0, :9, 4:12, 4:11] = 1
    if case == "lesion":
        masks[0, 1, 5:8, 5:8, 5:8] = 1
        sites[0, 0, 0, 0, 0], sites[0, 0, 1] = LESION, RING
    if case == "one voxel":
        masks[0, 1, 5, 5, 5] = 1
    if case == "at the border":
        masks[0, 1, :3, 5:8, 5:8] = 1
    distance = torch.stack(
        [
            torch.from_numpy(signed_distance(mask.numpy(), SPACING, limit) / limit)
            for mask, limit in zip(masks[0], TRUNCATION, strict=True)
        ]
    )
    known = torch.ones(1, 1, SIZE, SIZE, SIZE)
    one_view = masks, distance[None], sites, torch.full((1, 2), annotated), known
    return Targets(*(torch.cat([part, part]) for part in one_view), teacher=detached(outputs()))


def outputs(seed: int | None = None) -> Heads:
    """Undecided outputs, or random ones, that record their gradients."""
    generator = torch.Generator().manual_seed(seed or 0)
    scale = 0.0 if seed is None else 0.3
    shapes = [(2, 2, SIZE, SIZE, SIZE)] * 2 + [(2, 32, 2, 2, 2)]
    return Heads(*((scale * torch.randn(shape, generator=generator)).requires_grad_() for shape in shapes))


def detached(heads: Heads) -> Heads:
    return Heads(*(output.detach() for output in heads[:3]))


def everywhere(logits: float = 0.0, distance: float = 0.0) -> Heads:
    """Heads that say one thing of every voxel."""
    heads = detached(outputs())
    return Heads(
        *((part + value).requires_grad_() for part, value in zip(heads[:3], (logits, distance, 0), strict=True))
    )


def perfect(truth: Targets) -> Heads:
    contrast = torch.zeros(2, 32, 2, 2, 2)
    contrast[:, 0] = (truth.sites[:, 0] == LESION).float()
    contrast[:, 1] = (truth.sites[:, 0] == RING).float()
    return Heads(40 * (truth.masks - 0.5), truth.distance, contrast)


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_zero_for_the_perfect_answer(name):
    truth = targets()
    truth = truth._replace(teacher=perfect(truth))
    # The soft distance of a mask of boxes is exact to a fraction of a voxel only; H of a distance has soft edges.
    tolerance = {"mask_to_distance": 0.06, "cross_task_consistency": 0.02}.get(name, 1e-4)
    assert TERMS[name][0](perfect(truth), truth).item() == pytest.approx(0, abs=tolerance)


@pytest.mark.parametrize("name", ["classification", "regression", "distance_to_mask"])
def test_descent_moves_every_taught_voxel_of_the_head_towards_the_truth(name):
    term, head = TERMS[name]
    truth, heads = targets(), outputs()
    term(heads, truth).backward()
    gradient = getattr(heads, head).grad
    # Inside, descent must raise the logits and lower the distances; outside the opposite.
    towards_inside = -1 if head == "logits" else 1
    assert (towards_inside * gradient[truth.masks > 0.5]).min() > 0
    assert (towards_inside * gradient[truth.masks < 0.5]).max() < 0


@pytest.mark.parametrize("name", SUPERVISED)
def test_a_supervised_term_reaches_its_own_head_and_no_other(name):
    term, head = SUPERVISED[name]
    heads = outputs(seed=1)
    term(heads, targets()).backward()
    for field in ("logits", "distance", "embedding"):
        output = getattr(heads, field)
        if field == head:
            assert output.grad.abs().sum() > 0
        else:
            assert output.grad is None


def test_the_hard_step_of_the_control_takes_values_but_has_no_gradient():
    truth, heads = targets(), outputs(seed=12)
    hard, smooth = DistanceToMask(HardStep(), STRATA)(heads, truth), DistanceToMask(HEAVISIDE, STRATA)(heads, truth)
    assert hard.item() > 0.3
    assert not hard.requires_grad
    assert smooth.requires_grad
    assert DistanceToMask(HardStep(), STRATA)(perfect(truth), truth).item() == pytest.approx(0, abs=1e-4)


def test_mask_to_distance_shrinks_a_mask_that_is_too_large():
    truth = targets()
    limits = torch.tensor(TRUNCATION)[:, None, None, None]
    logits = (6 - truth.distance * limits).clamp(-8, 8).requires_grad_()
    MaskToDistance(SPACING, TRUNCATION, STRATA)(outputs()._replace(logits=logits), truth).backward()
    at_the_wrong_surface = logits.detach().abs() < 2
    assert logits.grad[at_the_wrong_surface].mean() > 0


def test_feature_contrast_pulls_a_class_together_and_pushes_classes_apart():
    truth, heads = targets(), outputs(seed=2)
    term = FeatureContrast()
    before = term(heads, truth)
    before.backward()
    after = term(heads._replace(embedding=heads.embedding.detach() - 0.5 * heads.embedding.grad), truth)
    assert after < before


def test_output_consistency_pulls_both_heads_to_the_teacher():
    student, teacher = (Heads(*(part.clamp(-0.9, 0.9) for part in outputs(seed)[:3])) for seed in (3, 4))
    for output in student[:3]:
        output.retain_grad()
    OutputConsistency()(student, targets(annotated=0.0)._replace(teacher=detached(teacher))).backward()
    for head in ("logits", "distance"):
        apart = getattr(student, head) - getattr(teacher, head)
        assert torch.equal(getattr(student, head).grad.sign(), apart.sign())


def test_output_consistency_without_a_teacher_is_refused():
    with pytest.raises(ValueError, match="needs a teacher"):
        OutputConsistency()(outputs(), targets()._replace(teacher=None))


def test_output_consistency_asks_nothing_beyond_the_truncation():
    student, teacher = everywhere(distance=5.0), everywhere(distance=2.0)
    assert OutputConsistency()(student, targets()._replace(teacher=detached(teacher))).item() == 0


def test_the_published_consistency_is_zero_for_equal_views_and_pulls_unequal_ones_together():
    first, second = outputs(seed=3), outputs(seed=4)
    equal = Heads(*(torch.cat([part[:1], part[:1]]) for part in first[:3]))
    assert ViewConsistency()(equal, targets()).item() == 0
    heads = Heads(
        *(torch.cat([a[:1], b[:1]]).detach().requires_grad_() for a, b in zip(first[:3], second[:3], strict=True))
    )
    ViewConsistency()(heads, targets()).backward()
    for output in (heads.logits, heads.distance):
        difference = output.detach()[0] - output.detach()[1]
        assert (torch.sign(output.grad[0]) == torch.sign(difference)).all()


def cross_task_gradients(heads: Heads, truth: Targets) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the logits and of the distances; 0 for a head that the term leaves alone."""
    CrossTaskConsistency(HEAVISIDE)(heads, truth).backward()
    logits, distance = (torch.zeros_like(head) if head.grad is None else head.grad for head in heads[:2])
    return logits, distance


def test_where_the_labelled_distance_is_nearer_to_the_truth_the_logits_alone_move_and_towards_it():
    truth = targets()
    inside = truth.masks > 0
    logits, distance = cross_task_gradients(everywhere(logits=-1.0, distance=-0.5), truth)
    assert logits[inside].max() < 0
    assert distance[inside].abs().max() == 0


def test_where_the_labelled_mask_is_nearer_to_the_truth_the_distance_alone_moves_and_towards_it():
    truth = targets()
    inside = truth.masks > 0
    logits, distance = cross_task_gradients(everywhere(logits=3.0, distance=0.2), truth)
    assert logits[inside].abs().max() == 0
    assert distance[inside].min() > 0


@pytest.mark.parametrize(("logits", "distance"), [(3.0, 0.2), (-1.0, -0.5)])
def test_without_a_label_the_distance_alone_moves_towards_the_mask(logits, distance):
    of_logits, of_distance = cross_task_gradients(everywhere(logits, distance), targets(annotated=0.0))
    assert of_logits.abs().max() == 0
    # A mask that says inside lowers the distances, and one that says outside raises them.
    assert (of_distance.sign() == (1 if logits > 0 else -1)).all()


@pytest.mark.parametrize("name", SUPERVISED)
def test_a_scan_without_annotation_teaches_a_supervised_term_nothing(name):
    term, head = SUPERVISED[name]
    heads = outputs(seed=5)
    term(heads, targets(annotated=0.0)).backward()
    assert getattr(heads, head).grad.abs().max() == 0


def test_a_site_that_annotates_the_pancreas_alone_does_not_teach_the_absence_of_lesions():
    truth, heads = targets(case="no lesion"), outputs(seed=6)
    truth.annotated[:, 1] = 0
    Classification()(heads, truth).backward()
    assert heads.logits.grad[:, 0].abs().sum() > 0
    assert heads.logits.grad[:, 1].abs().max() == 0


def slab() -> Targets:
    """The crop with a lesion, of which only some axial slices are known; its lesion crosses their border."""
    known = torch.zeros(2, 1, SIZE, SIZE, SIZE)
    known[..., 2:7] = 1
    return targets()._replace(known=known)


@pytest.mark.parametrize("name", VOXELWISE)
def test_an_unknown_voxel_has_no_gradient(name):
    truth, heads = slab(), outputs(seed=13)
    TERMS[name][0](heads, truth).backward()
    learnt = [output.grad for output in heads[:2] if output.grad is not None]
    assert learnt
    for gradient in learnt:
        assert gradient[..., 2:7].abs().sum() > 0
        assert gradient[..., :2].abs().max() == gradient[..., 7:].abs().max() == 0


@pytest.mark.parametrize("name", VOXELWISE)
def test_what_a_label_or_the_teacher_says_of_an_unknown_voxel_does_not_matter(name):
    truth, heads = slab(), outputs(seed=14)
    unknown = truth.known == 0
    other = truth._replace(
        masks=torch.where(unknown, 1 - truth.masks, truth.masks),
        distance=torch.where(unknown, -truth.distance, truth.distance),
        teacher=Heads(*(torch.where(unknown, 3.0, part) for part in truth.teacher[:2]), truth.teacher.embedding),
    )
    assert TERMS[name][0](heads, other) == TERMS[name][0](heads, truth)


def test_every_known_voxel_teaches_both_structures():
    truth = slab()
    truth.annotated[0, 1] = 0
    supervision = truth.supervision()
    assert torch.equal(supervision[1], truth.known[1].expand(2, -1, -1, -1))
    assert torch.equal(supervision[0, :1], truth.known[0])
    assert supervision[0, 1].max() == 0


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("case", ["no lesion", "no pancreas", "one voxel", "at the border"])
def test_unusual_crops_give_a_finite_loss_and_gradient(name, case):
    term, head = TERMS[name]
    heads = outputs(seed=7)
    loss = term(heads, targets(case))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(getattr(heads, head).grad).all()


@pytest.mark.parametrize("name", TERMS)
def test_the_order_of_the_scans_in_a_batch_does_not_matter(name):
    term, _ = TERMS[name]
    truth, mirrored = targets(), targets("at the border")
    heads, others = outputs(seed=8), outputs(seed=9)

    def batch(first, second):
        """Two scans, their first views before their second views."""
        return type(first)(
            *(
                torch.cat([a[:1], b[:1], a[1:], b[1:]]) if isinstance(a, torch.Tensor) else a and batch(a, b)
                for a, b in zip(first, second, strict=True)
            )
        )

    torch.testing.assert_close(
        term(batch(heads, others), batch(truth, mirrored)), term(batch(others, heads), batch(mirrored, truth))
    )


def test_the_loss_is_the_weighted_sum_of_its_terms():
    truth, heads = targets(), outputs(seed=10)
    terms = {name: term for name, (term, _) in TERMS.items()}
    weights = {name: 0.5 + index for index, name in enumerate(terms)}
    loss = DualTaskLoss(terms, weights)
    expected = sum(weights[name] * term(heads, truth) for name, term in terms.items())
    torch.testing.assert_close(loss(heads, truth), expected)
    assert set(loss.values) == set(weights)


@pytest.mark.parametrize("weights", [{"classification": 1.0}, {"classification": 1.0, "regression": 0.0}])
def test_a_term_without_weight_is_left_out(weights):
    loss = DualTaskLoss({name: term for name, (term, _) in TERMS.items()}, weights)
    heads = outputs(seed=11)
    loss(heads, targets()).backward()
    assert set(loss.values) == {"classification"}
    assert heads.distance.grad is None


@pytest.mark.parametrize("weights", [{"clasification": 1.0}, {}])
def test_a_misspelt_weight_or_an_empty_loss_is_refused(weights):
    with pytest.raises(ValueError, match="loss"):
        DualTaskLoss({name: term for name, (term, _) in TERMS.items()}, weights)


def test_half_precision_outputs_are_compared_in_single_precision():
    truth = targets()
    loss = DualTaskLoss({"classification": Classification()}, {"classification": 1.0})
    heads = Heads(*(output.bfloat16() for output in perfect(truth)[:3]))
    assert loss(heads, truth).dtype == torch.float32
