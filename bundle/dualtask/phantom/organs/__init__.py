"""Organs, each laid out in reference millimetres and added to the patient in painting order."""
