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

#: where each is, for people
PLACES = {
    "us-east-1": "United States, Virginia",
    "us-east-2": "United States, FedRAMP",
    "us-west-2": "United States, Oregon",
    "ca-central-1": "Canada",
    "mx-central-1": "Mexico",
    "sa-east-1": "Brazil, São Paulo",
    "eu-west-1": "Ireland, Dublin",
    "eu-west-2": "United Kingdom, London",
    "eu-central-1": "Germany, Frankfurt",
    "eu-central-2": "Switzerland, Zurich",
    "eusc-de-east-1": "European Sovereign Cloud",
    "me-central-1": "United Arab Emirates",
    "ap-northeast-1": "Japan, Tokyo",
    "ap-northeast-2": "South Korea, Seoul",
    "ap-northeast-3": "Japan, Osaka",
    "ap-south-1": "India, Mumbai",
    "ap-southeast-1": "Singapore",
    "ap-southeast-2": "Australia, Sydney",
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


def find(text: str) -> str:
    """Give the domain of a region: by its number in `listed`, its domain, its AWS name or place.

    Give the text itself if it means none, or several.
    """
    domains = list(REGIONS.values())
    wanted = text.casefold()
    if text.isdecimal() and 1 <= int(text) <= len(domains):
        return domains[int(text) - 1]
    if wanted in NAMES:
        return wanted
    found = [name for name, place in PLACES.items() if wanted in place.casefold().split(", ")]
    return REGIONS[found[0]] if len(found) == 1 else text


def listed() -> list[str]:
    """List all regions with numbers, for people."""
    return [
        f"{number:>4}  {name:<14}  {domain:<22}  {PLACES[name]}"
        for number, (name, domain) in enumerate(REGIONS.items(), 1)
    ]


def described(region: str) -> str:
    """Say what a region is: `mypurecloud.de / eu-central-1 (Germany, Frankfurt)`."""
    (name,) = (name for name, domain in REGIONS.items() if region in (name, domain))
    return f"{REGIONS[name]} / {name} ({PLACES[name]})"


def hosts(region: str) -> tuple[str, str] | None:
    """Give the URLs of a region's API and login hosts; None for an unknown region."""
    domain = REGIONS.get(region, region)
    if domain not in REGIONS.values():
        return None
    return f"https://api.{domain}", f"https://login.{domain}"
