"""The bundle as a submission to MONAI's Model Zoo: the folder, its figures, and the checks that await it there."""
