"""The regions of Genesys Cloud, by domain and by AWS name. Pure.

The eighteen that the vendor's SDK lists (`purecloud_region_hosts.py`).
"""

from __future__ import annotations

from asyncreport.core.text import first_items

#: AWS name -> domain
REGIONS = {
    "us-east-1": "mypurecloud.com",
    "us-east-2": "use2.us-gov-pure.cloud",
    "us-west-2": "usw2.pure.cloud",
    "ca-central-1": "cac1.pure.cloud",
    "mx-central-1": "mxc1.pure.cloud",
    "sa-east-1": "sae1.pure.cloud",
    "eu-west-1": "mypurecloud.ie",
    "eu-west-2": "euw2.pure.cloud",
    "eu-central-1": "mypurecloud.de",
    "eu-central-2": "euc2.pure.cloud",
    "eusc-de-east-1": "edee1.eusc-pure.cloud",
    "me-central-1": "mec1.pure.cloud",
    "ap-northeast-1": "mypurecloud.jp",
    "ap-northeast-2": "apne2.pure.cloud",
    "ap-northeast-3": "apne3.pure.cloud",
    "ap-south-1": "aps1.pure.cloud",
    "ap-southeast-1": "apse1.pure.cloud",
    "ap-southeast-2": "mypurecloud.com.au",
}

DEFAULT = "mypurecloud.com"

#: all names that are accepted
NAMES = (*REGIONS.values(), *REGIONS)

#: for messages; both lists would be too long
ACCEPTED = "a domain such as mypurecloud.ie, or an AWS region: " + first_items(
    list(REGIONS), "region"
)

#: shown with -v
ALL = "all regions: " + ", ".join(f"{name} ({domain})" for name, domain in REGIONS.items())


def hosts(region: str) -> tuple[str, str] | None:
    """Give the URLs of a region's API and login hosts; None for an unknown region."""
    domain = REGIONS.get(region, region)
    if domain not in REGIONS.values():
        return None
    return f"https://api.{domain}", f"https://login.{domain}"
