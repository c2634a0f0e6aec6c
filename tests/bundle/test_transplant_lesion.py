"""A transplanted lesion stands in the pancreas at its contrast to the parenchyma, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dualtask.transforms import RandTransplantLesion

SHAPE = (20, 18, 16)
PARENCHYMA, DARKER = 0.6, -0.25
BOTH = torch.ones(2)


def donor(side: int = 4) -> dict[str, torch.Tensor]:
    """A patient whose parenchyma is brighter than the host's, with a lesion that is darker than it."""
    image, label = torch.full((1, *SHAPE), 0.1), torch.zeros(1, *SHAPE)
    label[0, 2:18, 3:15, 3:13] = 1
    label[0, 6 : 6 + side, 6 : 6 + side, 6 : 6 + side] = 2
    image[label == 1] = 0.8
    image[label == 2] = 0.8 + DARKER
    return {"image": image, "label": label}


def host(annotated: torch.Tensor = BOTH) -> dict[str, torch.Tensor]:
    """A crop of a healthy patient."""
    image, label = torch.full((1, *SHAPE), 0.2), torch.zeros(1, *SHAPE)
    label[0, 4:16, 4:14, 4:12] = 1
    image[label == 1] = PARENCHYMA
    return {"image": image, "label": label, "known": torch.ones(1, *SHAPE), "annotated": annotated}


def transplanting(prob: float = 1.0, **options) -> RandTransplantLesion:
    donors = options.pop("donors", [donor()])
    transform = RandTransplantLesion(image_key="image", label_key="label", donors=donors, prob=prob, **options)
    return transform.set_random_state(0)


@pytest.mark.parametrize("seed", range(8))
def test_the_lesion_has_the_donors_contrast_to_the_hosts_parenchyma(seed):
    data = transplanting().set_random_state(seed)(host())
    lesion = data["label"] == 2
    assert 0 < lesion.sum() <= 4**3
    # The blend softens the edge; inside, the lesion has nearly the whole contrast.
    assert float((data["image"][lesion] - (PARENCHYMA + DARKER)).abs().min()) < 0.03


@pytest.mark.parametrize("seed", range(8))
def test_the_image_changes_near_the_lesion_alone_and_the_input_stays_as_it_was(seed):
    before = host()
    data = transplanting().set_random_state(seed)(before)
    changed = np.argwhere((data["image"] != host()["image"]).numpy()[0])
    lesion = np.argwhere((data["label"] == 2).numpy()[0])
    assert (changed.min(0) >= lesion.min(0) - 2).all()
    assert (changed.max(0) <= lesion.max(0) + 2).all()
    assert torch.equal(before["image"], host()["image"])
    assert torch.equal(before["label"], host()["label"])


def test_a_crop_without_pancreas_or_without_full_annotation_stays_as_it_is():
    empty = host() | {"label": torch.zeros(1, *SHAPE)}
    for data in (empty, host(annotated=torch.tensor([1.0, 0.0]))):
        assert torch.equal(transplanting()(data)["label"], data["label"])


def test_no_lesion_is_put_where_the_scan_shows_nothing():
    data = host()
    data["known"][0, :10] = 0
    for seed in range(8):
        result = transplanting().set_random_state(seed)(data)
        assert (result["label"] == 2).any()
        assert not (result["label"][0, :10] == 2).any()
        assert torch.equal(result["image"][0, :10], data["image"][0, :10])


def test_the_share_of_crops_is_the_probability_and_small_lesions_are_no_donors():
    transform = transplanting(prob=0.4)
    shares = [bool((transform(host())["label"] == 2).any()) for _ in range(300)]
    assert np.mean(shares) == pytest.approx(0.4, abs=0.09)
    assert not (transplanting(donors=[donor(side=2)], least_voxels=9)(host())["label"] == 2).any()


def test_a_patient_without_a_label_of_the_organ_or_without_lesion_gives_none():
    healthy = donor() | {"label": (donor()["label"] > 0).float()}
    unlabelled = donor() | {"label": torch.zeros(1, *SHAPE)}
    assert transplanting(donors=[healthy, unlabelled]).donors == []
