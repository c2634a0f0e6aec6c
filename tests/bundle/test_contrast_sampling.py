"""Where the contrastive loss takes its embeddings."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtask.contrast import LESION, RING, embeddings_at, sample_sites

SPACING = (2.0, 2.0, 2.5)
LARGEST_REACH = (6, 6, 5)
"""Voxels of the thickest ring, 12 mm."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def bar(shape=(48, 48, 40), start=(20, 20, 8), stop=(26, 26, 32)):
    """A bar along z: its 3-D skeleton crosses many axial slices."""
    mask = torch.zeros(shape)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = 1
    return mask


def test_lesion_sites_lie_in_the_lesion_and_ring_sites_around_it():
    mask = bar()
    sites = sample_sites(mask, stride=1, spacing=SPACING, generator=generator())
    assert sites.shape == mask.shape and sites.dtype == torch.uint8
    assert (mask[sites == LESION] == 1).all()
    assert (mask[sites == RING] == 0).all()
    x, y, z = (sites == RING).nonzero().T
    for ring, start, stop, reach in zip((x, y, z), (20, 20, 8), (26, 26, 32), LARGEST_REACH, strict=True):
        assert ring.min() >= start - reach and ring.max() < stop + reach


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 2.0, 1.0), (3.0, 3.0, 3.0), (1.0, 1.0, 6.0)])
def test_the_ring_is_as_thick_in_mm_on_every_grid(spacing):
    """The skeleton of a ring of 6 to 12 mm runs in its middle, 4.5 mm from the lesion in the mean."""
    extent_mm = (12.0, 12.0, 36.0)
    size = [round(side / voxel) for side, voxel in zip(extent_mm, spacing, strict=True)]
    margin = [round(18.0 / voxel) for voxel in spacing]
    start, stop = margin, [m + n for m, n in zip(margin, size, strict=True)]
    mask = bar([stop_ + m for stop_, m in zip(stop, margin, strict=True)], start, stop)
    away_mm = []
    for seed in range(10):
        x, y, z = (sample_sites(mask, 1, spacing, generator(seed)) == RING).nonzero().T
        beside = (z >= start[2]) & (z < stop[2])
        beyond = [
            torch.maximum(low - place, place - (high - 1)) * side
            for place, low, high, side in zip((x[beside], y[beside]), start, stop, spacing, strict=False)
        ]
        away_mm.append(torch.maximum(*beyond))
    away = torch.cat(away_mm)
    side = max(spacing[:2])
    assert away.max() <= 12.0 + side / 2
    assert away.mean() == pytest.approx(4.5, abs=side / 2 + 1)


def test_each_axial_slice_gives_one_voxel_per_class():
    sites = sample_sites(bar(), stride=1, spacing=SPACING, generator=generator())
    assert torch.equal((sites == LESION).sum(dim=(0, 1)), bar().any(0).any(0).long())
    ring_voxels = (sites == RING).sum(dim=(0, 1))
    assert ring_voxels.max() == 1
    assert (ring_voxels[8:32] == 1).all()


@pytest.mark.parametrize("radius", [3, 6, 12])
def test_round_lesion_has_sites_over_its_whole_height(radius):
    position = torch.arange(32) - 16
    x, y, z = torch.meshgrid(position, position, position, indexing="ij")
    ball = (x**2 + y**2 + z**2 <= radius**2).float()
    sites = sample_sites(ball, stride=1, spacing=SPACING, generator=generator()) == LESION
    assert sites.sum() == (ball.sum(dim=(0, 1)) >= 5).sum()


def test_ring_is_reached_on_every_side_of_the_lesion():
    ring = sum(
        (sample_sites(bar(), stride=1, spacing=SPACING, generator=generator(seed)) == RING).sum(dim=2)
        for seed in range(20)
    )
    assert ring[:20].any() and ring[26:].any() and ring[:, :20].any() and ring[:, 26:].any()


def test_skeleton_of_a_bar_is_its_axis():
    odd = bar(stop=(27, 27, 32))
    x, y, z = (sample_sites(odd, stride=1, spacing=SPACING, generator=generator()) == LESION).nonzero().T
    centre = (z >= 12) & (z < 28)
    assert centre.sum() == 16
    assert (x[centre] == 23).all() and (y[centre] == 23).all()


def test_slices_with_less_than_20_mm2_give_no_site():
    thin = bar(start=(20, 20, 8), stop=(22, 22, 32))
    sites = sample_sites(thin, stride=1, spacing=SPACING, generator=generator())
    assert not (sites == LESION).any()
    assert (sites == RING).any()


def test_one_voxel_lesion_has_ring_sites_only():
    mask = torch.zeros(40, 40, 24)
    mask[20, 20, 12] = 1
    sites = sample_sites(mask, stride=1, spacing=SPACING, generator=generator())
    assert not (sites == LESION).any()
    assert (sites == RING).any()


def test_no_lesion_has_no_sites():
    assert not sample_sites(torch.zeros(2, 1, 16, 16, 16), stride=8, spacing=SPACING).any()


def test_lesion_that_fills_the_volume_has_no_ring():
    sites = sample_sites(torch.ones(12, 12, 24), stride=1, spacing=SPACING, generator=generator())
    assert not (sites == RING).any()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 23), st.integers(0, 23)), min_size=3, max_size=3), st.integers(0, 1000))
def test_lesion_anywhere_also_at_the_border_keeps_the_classes_apart(corners, seed):
    mask = torch.zeros(24, 24, 24)
    mask[tuple(slice(min(pair), max(pair) + 1) for pair in corners)] = 1
    sites = sample_sites(mask, stride=1, spacing=SPACING, generator=generator(seed))
    assert (mask[sites == LESION] == 1).all() and (mask[sites == RING] == 0).all()


@pytest.mark.parametrize("size", [32, 33, 39])
def test_map_has_the_size_of_the_feature_map(size):
    sites = sample_sites(torch.zeros(2, 1, size, 32, 32), stride=8, spacing=SPACING)
    assert sites.shape == (2, 1, -(-size // 8), 4, 4)


def test_site_covers_the_voxels_of_its_stride():
    mask = bar()
    fine = sample_sites(mask, stride=1, spacing=SPACING, generator=generator())
    coarse = sample_sites(mask, stride=8, spacing=SPACING, generator=generator())
    assert {tuple(site.tolist()) for site in (coarse == LESION).nonzero()} == {
        tuple((voxel // 8).tolist()) for voxel in (fine == LESION).nonzero()
    }
    covered = {tuple((voxel // 8).tolist()) for voxel in (fine == RING).nonzero()}
    assert {tuple(site.tolist()) for site in (coarse == RING).nonzero()} <= covered


def test_same_seed_gives_the_same_sites_and_others_differ():
    first, again, other = (
        sample_sites(bar(), stride=1, spacing=SPACING, generator=generator(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_samples_of_a_batch_are_drawn_independently():
    views = sample_sites(bar().expand(2, 1, -1, -1, -1), stride=1, spacing=SPACING, generator=generator())
    assert not torch.equal(views[0], views[1])


def test_embeddings_come_with_the_label_of_their_site():
    features = torch.arange(2 * 3 * 4 * 4 * 4.0).reshape(2, 3, 4, 4, 4)
    sites = torch.zeros(2, 1, 4, 4, 4, dtype=torch.uint8)
    sites[0, 0, 1, 2, 3], sites[1, 0, 0, 0, 1] = LESION, RING
    embeddings, labels = embeddings_at(features, sites)
    assert labels.tolist() == [LESION, RING]
    assert torch.equal(embeddings, torch.stack([features[0, :, 1, 2, 3], features[1, :, 0, 0, 1]]))
