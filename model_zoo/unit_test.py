"""Every workflow of the bundle runs on synthetic scans; the Model Zoo runs this from its own folder."""

import json
import os
import sys
import tempfile
import unittest

from monai.bundle import ConfigWorkflow
from utils import check_workflow

BUNDLE = os.path.join("models", "BUNDLE_NAME")
COARSE = {
    "spacing": [5.0, 5.0, 6.0],
    "hu_window": [-100, 240],
    "spatial_shape": [32, 24, 16],
    "localiser_factor": 2,
    "localiser_shape": [32, 24, 16],
    "mirrored_axes": [0],
}


class TestDualTaskSegmentation(unittest.TestCase):
    def setUp(self):
        sys.path.insert(0, BUNDLE)
        from dualtask.phantom.decathlon import write_decathlon
        from dualtask.phantom.sites import SITES

        self.temporary = tempfile.TemporaryDirectory()
        self.folder = self.temporary.name
        write_decathlon(self.folder, [SITES["coastal"]], cases_per_site=2, seed=3, matrix=72)
        with open(os.path.join(self.folder, "dataset.json")) as file:
            self.cases = [
                {key: os.path.join(self.folder, case[key]) for key in ("image", "label")}
                for case in json.load(file)["training"]
            ]

    def tearDown(self):
        sys.path.remove(BUNDLE)
        self.temporary.cleanup()

    def run_workflow(self, workflow_type, *configs, **override):
        workflow = ConfigWorkflow(
            workflow_type=workflow_type,
            config_file=[os.path.join(BUNDLE, "configs", name) for name in configs],
            logging_file=os.path.join(BUNDLE, "configs", "logging.conf"),
            meta_file=os.path.join(BUNDLE, "configs", "metadata.json"),
            bundle_root=BUNDLE,
            dataset_dir=self.folder,
            output_dir=os.path.join(self.folder, "out"),
            **override,
        )
        check_workflow(workflow, check_properties=True)

    def train(self, *configs):
        override = {
            "ckpt_dir": os.path.join(self.folder, "models"),
            "image_format": COARSE,
            "train#trainer#max_epochs": 1,
            "val_interval": 1,
            "train#dataset#data": self.cases[:1],
            "validate#dataset#data": self.cases[1:],
            "train#dataloader#num_workers": 0,
            "tracking_uri": "",
        }
        self.run_workflow("train", "train.json", *configs, **override)

    def test_train_config(self):
        self.train()
        self.assertTrue(os.path.isfile(os.path.join(self.folder, "models", "model.pt")))

    def test_train_config_of_the_localiser(self):
        self.train("localiser.json")
        self.assertTrue(os.path.isfile(os.path.join(self.folder, "models", "localiser.pt")))

    def test_infer_config(self):
        self.run_workflow("infer", "inference.json", datalist=[self.cases[0]["image"]])
        self.assertEqual(len([name for name in os.listdir(os.path.join(self.folder, "out")) if "_seg" in name]), 1)

    def test_evaluate_config(self):
        self.run_workflow("infer", "inference.json", "evaluate.json")
        self.assertTrue(os.path.isfile(os.path.join(self.folder, "out", "metrics.csv")))


if __name__ == "__main__":
    unittest.main()
