"""Paths of objects: which are accepted, and what a storage needs to know. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from asyncreport.config.libraries import check_library
from asyncreport.config.validate import Place
from asyncreport.core.errors import ConfigError
from asyncreport.core.object_urls import SCHEME
from asyncreport.core.secret import Secret
from asyncreport.formats import OBSTORE

#: `gs:` of `gs://bucket/key`
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")

#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

_AS_IN = ", as in s3://my-bucket/exports/aht.jsonl"

#: variables that are passed on to the client of the storage; the tools of AWS use the same names
_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ALLOW_HTTP",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
)


def check_scheme(place: Place, template: str) -> None:
    """Refuse a path that is neither of this system nor of an object in a bucket."""
    found = _SCHEME.match(template)
    if found is None:
        return
    if not template.startswith(SCHEME):
        raise place.must(
            "be a path of this system or s3://bucket/folder/file",
            f"; {found[1]}:// is not supported",
        )
    bucket, _, key = template.removeprefix(SCHEME).partition("/")
    _check_bucket(place, bucket)
    _check_key(place, key)
    check_library(place, "a path in a bucket", OBSTORE)


def _check_bucket(place: Place, bucket: str) -> None:
    """Refuse what cannot be the name of a bucket."""
    if not _BUCKET.fullmatch(bucket):
        raise place.must(
            "name a bucket of 3 to 63 lower-case letters, digits, dots and hyphens", _AS_IN
        )


def _check_key(place: Place, key: str) -> None:
    """Refuse a key that a path on disk could not have: it is copied into a folder."""
    if not {"", ".", ".."}.isdisjoint(key.split("/")):
        raise place.must("name a file in the bucket, without an empty folder", _AS_IN)


def check_one_bucket(paths: Iterable[tuple[Place, str]]) -> None:
    """Refuse files in several buckets, or in a bucket and on disk."""
    (first, path), *others = paths
    for place, other in others:
        if _bucket(other) != _bucket(path):
            raise place.must(
                f"be in the same place as {first.key}: one bucket, or the disk",
                "; use several jobs for several places",
            )


def _bucket(path: str) -> str | None:
    """Name the bucket of a path; None: it is on disk."""
    if not path.startswith(SCHEME):
        return None
    return path.removeprefix(SCHEME).partition("/")[0]


def storage_settings(path: str, environ: Mapping[str, str]) -> dict[str, Secret]:
    """Give what the storage of a path needs to know; nothing for a disk. Raise ConfigError."""
    if not path.startswith(SCHEME):
        return {}
    found = {name: environ[name] for name in _VARIABLES if environ.get(name)}
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        if name in found:
            _check_endpoint(name, found)
    return {name: Secret(value) for name, value in found.items()}


def _check_endpoint(name: str, found: Mapping[str, str]) -> None:
    """Refuse an endpoint that is not a URL, or an unencrypted one that was not allowed."""
    url = urlsplit(found[name])
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ConfigError(f"{name}: {found[name]!r} must be a URL such as https://s3.example.org")
    allowed = found.get("AWS_ALLOW_HTTP", "").lower() == "true"
    if url.scheme == "http" and not allowed:
        raise ConfigError(
            f"{name}: {found[name]!r} is not encrypted; use https, or set AWS_ALLOW_HTTP=true to "
            "send records without encryption"
        )
