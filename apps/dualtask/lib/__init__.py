"""Adapters between the bundle's configs and MONAI Label's tasks."""
