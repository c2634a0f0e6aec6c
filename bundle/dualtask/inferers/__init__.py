"""How the networks are applied to a crop or to a scan."""

from dualtask.inferers.cascade import CascadeInferer, Localised
from dualtask.inferers.heads import HeadsInferer
from dualtask.inferers.region_maps import RegionMapsInferer

__all__ = ["CascadeInferer", "HeadsInferer", "Localised", "RegionMapsInferer"]
