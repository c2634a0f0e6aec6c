"""A DICOM server on this machine, for trials and tests: ``python -m lib.dicomweb`` starts it with the app on top."""
