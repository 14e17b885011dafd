"""What an error of the storage library means, as one short line. Pure.

The library gives the whole answer of the server and its own structures, over many lines.
"""

from __future__ import annotations

import re

from asyncreport.core.text import one_line

#: the longest text of the storage that a message shows
_MOST_SHOWN = 200

#: begins what the library says about its own structures
_STRUCTURES = "Debug source:"

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]+)</Message>")
_ORIGIN = re.compile(r"(https?://[^/\s,]+)")
_KIND = re.compile(r"kind: (\w+),")

_CHECK_ACCESS = (
    "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, and that this user may list, "
    "read, write and delete objects there"
)
_CHECK_SERVER = "check AWS_ENDPOINT_URL, AWS_REGION and the network"


def reason_and_step(error: str) -> tuple[str, str]:
    """Say why a request failed, and what to do next."""
    if "NoSuchBucket" in error:
        return "the bucket does not exist", "create it, or give the output another path"
    status = _STATUS.search(error)
    if status is not None:
        return _refusal(status[1], error), _step(status[1])
    kind = _KIND.search(error)
    if kind is not None and kind[1] == "Connect":
        return f"no connection to {_origin(error)}", _CHECK_SERVER
    if kind is not None and kind[1] == "Timeout":
        return f"no response from {_origin(error)} in time", _CHECK_SERVER
    return one_line(error.partition(_STRUCTURES)[0].strip(), _MOST_SHOWN), _CHECK_SERVER


def _step(status: str) -> str:
    """Say what to do about a response with this status."""
    if status in ("401", "403"):
        return _CHECK_ACCESS
    return _CHECK_SERVER


def _refusal(status: str, error: str) -> str:
    """Describe a response that is an error: `403 AccessDenied: ...`."""
    code, message = _CODE.search(error), _MESSAGE.search(error)
    text = status
    if code is not None:
        text += f" {code[1]}"
    if message is not None:
        text += f": {message[1].rstrip('.')}"
    return one_line(text, _MOST_SHOWN)


def _origin(error: str) -> str:
    """Name the server."""
    found = _ORIGIN.search(error)
    if found is None:
        return "the storage"
    return found[1]
