"""Training at several sites whose scans stay there: MONAI's MonaiAlgo at each site, NVFlare between them.

``executor``, ``rounds``, ``aggregation``, ``persistence`` and ``simulation`` need NVFlare; the rest does without it.
"""
