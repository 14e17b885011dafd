"""Two storages that speak S3, each in a process of its own: moto's server and SeaweedFS."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from asyncreport.core.errors import StoreError
from asyncreport.store.objects.bucket import Bucket

#: seconds until a server must work
_PATIENCE = 60

_KEYS = {"AWS_ACCESS_KEY_ID": "key-of-a-test", "AWS_SECRET_ACCESS_KEY": "secret-of-a-test"}


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage that works."""

    url: str

    @property
    def environ(self) -> dict[str, str]:
        """Give the variables that lead to it."""
        return {
            **_KEYS,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
        }

    def bucket(self, name: str) -> Bucket:
        """Open a bucket; create it."""
        _create(self, name)
        return Bucket(name, self.environ)


@contextmanager
def moto() -> Iterator[Storage]:
    """Start moto's server: it keeps the objects in memory."""
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, Path.cwd()):
        yield _ready(Storage(f"http://127.0.0.1:{port}"))


@contextmanager
def seaweed() -> Iterator[Storage]:
    """Start SeaweedFS: a storage that is made for use, written in Go."""
    identity = {
        "name": "test",
        "credentials": [
            {
                "accessKey": _KEYS["AWS_ACCESS_KEY_ID"],
                "secretKey": _KEYS["AWS_SECRET_ACCESS_KEY"],
            }
        ],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    with TemporaryDirectory(prefix="seaweed-") as name:
        folder = Path(name)
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        port = _free_port()
        with _running([*_weed(folder), f"-s3.port={port}"], folder):
            yield _ready(Storage(f"http://127.0.0.1:{port}"))


#: by name
STORAGES: dict[str, Callable[[], AbstractContextManager[Storage]]] = {
    "moto": moto,
    "seaweed": seaweed,
}


def _weed(folder: Path) -> list[str]:
    """Give the command of SeaweedFS, without its port for S3."""
    weed = shutil.which(
        "weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    assert weed is not None
    ports = [f"-{part}.port={_free_port()}" for part in ("master", "volume", "filer")]
    return [
        weed,
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        f"-s3.config={folder / 's3.json'}",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=200",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        *ports,
    ]


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[None]:
    """Run a server, and end it."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _ready(storage: Storage) -> Storage:
    """Wait until a storage works."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            bucket = storage.bucket("is-it-ready")
            bucket.write("object", b"1")
            bucket.close()
        except (StoreError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return storage


def _create(storage: Storage, name: str) -> None:
    """Create a bucket."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=storage.url,
        aws_access_key_id=_KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=_KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    try:
        client.create_bucket(Bucket=name)
    except client.exceptions.BucketAlreadyOwnedByYou:
        pass
    except Exception as error:
        raise StoreError(str(error)) from error


def _free_port() -> int:
    """Find a port that nobody uses, and whose gRPC sibling is in the range of ports."""
    while True:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port: int = found.getsockname()[1]
        if port < 50_000:
            return port
