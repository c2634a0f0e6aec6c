"""Commands of the bundle as jobs of submitit: processes of this machine, or jobs of SLURM.

A job imports ``commands`` alone, which stays free of heavy imports, so that it starts at once.
"""
