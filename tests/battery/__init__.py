"""Damaged and odd inputs, and what the product makes of each: ``python -m battery`` writes the page on robustness."""
