"""What inference of a fixed scan may cost, counted in work and not in time, with the weights that ship.

The bounds lie a little above what was counted. Who raises one says why the work is worth it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import pytest
import torch
from isal import igzip
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from dualtask.phantom.generator import generate_case
from dualtask.phantom.sites import SITES
from small_workflows import build_workflow

LARGE = 2**16
"""Voxels; a float64 array of more would be a copy of the scan or of the region."""


class Work(NamedTuple):
    """Of one run: shapes of the networks' images, operations, reads, interpolated maps, further volumes."""

    scan: torch.Size
    localised: list[torch.Size]
    segmented: list[torch.Size]
    gigaflops: float
    inflated: int
    resampled: list[torch.Size]
    double: list[str]
    whole: list[str]


class Volumes(TorchDispatchMode):
    """Notes what is interpolated, what is computed in float64, and what makes a float32 volume of the scan's size."""

    def __init__(self, scan: Sequence[int]) -> None:
        super().__init__()
        self.scan = sorted(scan)
        self.resampled: list[torch.Size] = []
        self.double: list[str] = []
        self.whole: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.grid_sampler_3d.default:
            self.resampled.append(result.shape)
        if not isinstance(result, torch.Tensor):
            return result
        if result.dtype == torch.float64 and result.numel() > LARGE:
            self.double.append(str(function))
        if result.dtype == torch.float32 and sorted(result.shape[-3:]) == self.scan:
            places = {value.untyped_storage().data_ptr() for value in args if isinstance(value, torch.Tensor)}
            if result.untyped_storage().data_ptr() not in places:
                self.whole.append(str(function))
        return result


@pytest.fixture(scope="module")
def work(bundle_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("work")
    case = generate_case(SITES["metro"], seed=4000, case=0, matrix=128)
    scan = folder / "scan.nii.gz"
    nib.save(nib.Nifti1Image(case.image, case.affine), scan)
    built = build_workflow(
        bundle_root,
        "inference.json",
        workflow_type="infer",
        meta_file=str(bundle_root / "configs" / "metadata.json"),
        datalist=[str(scan)],
        output_dir=str(folder / "masks"),
    )
    inferer, network = (built.parser.get_parsed_content(name) for name in ("inferer", "network"))
    seen: dict[str, list[torch.Size]] = {"localised": [], "segmented": []}
    inflated: list[int] = []
    volumes, operations = Volumes(case.image.shape), FlopCounterMode(display=False)
    with pytest.MonkeyPatch.context() as patch:
        for name, part in (("localised", inferer.localiser), ("segmented", network)):
            forward = part.heads
            patch.setattr(
                part,
                "heads",
                lambda image, name=name, forward=forward: seen[name].append(image.shape) or forward(image),
            )
        inflate = igzip.decompress
        patch.setattr(igzip, "decompress", lambda content: inflated.append(len(content)) or inflate(content))
        with volumes, operations:
            built.run()
    return Work(
        scan=torch.Size(case.image.shape),
        localised=seen["localised"],
        segmented=seen["segmented"],
        gigaflops=operations.get_total_flops() / 1e9,
        inflated=len(inflated),
        resampled=volumes.resampled,
        double=volumes.double,
        whole=volumes.whole,
    )


def test_the_file_is_inflated_once(work):
    assert work.inflated == 1


def test_the_localiser_sees_the_scan_once(work):
    assert len(work.localised) == 1


def test_the_network_sees_the_region_twice_in_each_of_at_most_two_rounds(work):
    """Twice, because the answers of the scan and of its mirror image are averaged."""
    assert 2 <= len(work.segmented) <= 4
    assert max(shape.numel() for shape in work.segmented) <= 80 * 72 * 56


def test_full_resolution_is_interpolated_for_the_region_alone(work):
    """The whole scan on the coarse grid, and the answer within the region on the grid of the scan."""
    _, to_scan = work.resampled
    assert to_scan[2:].numel() < work.scan.numel() / 4


def test_no_volume_is_kept_in_float64(work):
    assert work.double == []


def test_the_whole_scan_is_copied_to_turn_it_to_clip_it_and_to_make_a_batch_of_it(work):
    """Each copy of 512 x 512 x 200 voxels is 0.2 GiB."""
    assert len(work.whole) <= 3, work.whole


def test_the_networks_take_no_more_operations_than_the_page_of_speed_was_measured_with(work):
    assert 0 < work.gigaflops < 260
