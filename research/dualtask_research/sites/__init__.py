"""Sites as configuration: what their scans and labels are, where they come from, and whether a copy is right."""

from dualtask_research.sites.cases import site_cases
from dualtask_research.sites.site import Site, read_site

__all__ = ["Site", "read_site", "site_cases"]
