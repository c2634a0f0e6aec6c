"""What only research runs: sites checked and joined, variants compared, annotation simulated, and the pages about it.

Stands on the bundle's package ``dualtask`` as the app does (``PYTHONPATH=bundle:research``); nothing there knows of it.
"""
