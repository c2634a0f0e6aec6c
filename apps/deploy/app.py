"""The bundle on MONAI Deploy: a DICOM series in, a DICOM SEG out, by the SDK's own operators (docs/how-to/deploy.md).

``python apps/deploy/app.py -i <folder of DICOM> -o <output folder>``, in an environment with monai-deploy-app-sdk.
"""

from __future__ import annotations

import json
from pathlib import Path

from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application
from monai.deploy.core.domain import Image
from monai.deploy.core.io_type import IOType
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_seg_writer_operator import DICOMSegmentationWriterOperator, SegmentDescription
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
from monai.deploy.operators.dicom_series_to_volume_operator import DICOMSeriesToVolumeOperator
from monai.deploy.operators.monai_bundle_inference_operator import (
    BundleConfigNames,
    IOMapping,
    MonaiBundleInferenceOperator,
)
from pydicom.sr.codedict import codes

BUNDLE = Path(__file__).resolve().parents[2] / "bundle"
CT_SERIES = {"selections": [{"name": "CT", "conditions": {"Modality": "(?i)CT"}}]}


class DualTaskDeploy(Application):
    """Loads the first CT series of a folder, segments it with the bundle and writes a DICOM SEG."""

    def compose(self) -> None:
        context = Application.init_app_context(self.argv)
        loader = DICOMDataLoaderOperator(
            self, CountCondition(self, 1), input_folder=Path(context.input_path), name="loader"
        )
        selector = DICOMSeriesSelectorOperator(self, rules=json.dumps(CT_SERIES), name="selector")
        volume = DICOMSeriesToVolumeOperator(self, name="volume")
        segmentation = MonaiBundleInferenceOperator(
            self,
            app_context=context,
            input_mapping=[IOMapping("image", Image, IOType.IN_MEMORY)],
            output_mapping=[IOMapping("pred", Image, IOType.IN_MEMORY)],
            bundle_path=BUNDLE,
            bundle_config_names=BundleConfigNames(config_names=["inference", "deploy"]),
            name="segmentation",
        )
        writer = DICOMSegmentationWriterOperator(
            self,
            segment_descriptions=_segments(),
            custom_tags={"SeriesDescription": "Research only, not for clinical use"},
            output_folder=Path(context.output_path),
            name="writer",
        )
        series = {("study_selected_series_list", "study_selected_series_list")}
        self.add_flow(loader, selector, {("dicom_study_list", "dicom_study_list")})
        self.add_flow(selector, volume, series)
        self.add_flow(volume, segmentation, {("image", "image")})
        self.add_flow(selector, writer, series)
        self.add_flow(segmentation, writer, {("pred", "seg_image")})


def _segments() -> list[SegmentDescription]:
    metadata = json.loads((BUNDLE / "configs" / "metadata.json").read_text())
    kinds = {
        "pancreas": (codes.SCT.Organ, codes.SCT.Pancreas),
        "lesion": (codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Lesion),
    }
    return [
        SegmentDescription(
            segment_label=label,
            segmented_property_category=category,
            segmented_property_type=kind,
            algorithm_name=metadata["name"],
            algorithm_family=codes.DCM.ArtificialIntelligence,
            algorithm_version=metadata["version"],
        )
        for label, (category, kind) in kinds.items()
    ]


if __name__ == "__main__":
    DualTaskDeploy().run()
