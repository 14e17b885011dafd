"""Two storages that speak S3, each in a process of its own: moto's server and SeaweedFS."""

from __future__ import annotations

import json
import os
import secrets
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

#: starts of a server, each with ports of its own
_ATTEMPTS = 5

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

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]

    with TemporaryDirectory(prefix="moto-") as name, _started(command, Path(name)) as storage:
        yield storage


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

        def command(port: int) -> list[str]:
            return [*_weed(folder), f"-s3.port={port}"]

        with _started(command, folder) as storage:
            yield storage


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
def _started(command: Callable[[int], list[str]], folder: Path) -> Iterator[Storage]:
    """Start a server on ports of its own, and end it.

    Between the choice of a port and its use, another program may take it. The server ends then, and
    is started again with other ports.
    """
    log = folder / "server.log"
    for _ in range(_ATTEMPTS):
        port = _free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(port), cwd=folder, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            storage = Storage(f"http://127.0.0.1:{port}")
            if _is_ready(storage, process):
                yield storage
                return
        finally:
            process.kill()
            process.wait()
    raise AssertionError(log.read_text(errors="replace")[-2_000:])


def _is_ready(storage: Storage, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a server works; return False if it ended, or if it takes too long."""
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            bucket = storage.bucket("is-it-ready")
            bucket.write("object", b"1")
            bucket.close()
        except (StoreError, OSError):
            time.sleep(0.1)
        else:
            # The answer may be that of another program that has the port: the server ends then.
            return process.poll() is None
    return False


def _create(storage: Storage, name: str) -> None:
    """Create a bucket."""
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=storage.url,
        aws_access_key_id=_KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=_KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(read_timeout=20, retries={"max_attempts": 0}),
    )
    try:
        client.create_bucket(Bucket=name)
    except client.exceptions.BucketAlreadyOwnedByYou:
        pass
    except Exception as error:
        raise StoreError(str(error)) from error


def _free_port() -> int:
    """Find a port that nobody uses; SeaweedFS takes the one 10,000 above it too, for gRPC.

    Both are below those that systems give to connections, which come and go all the time.
    """
    while True:
        port = 12_000 + secrets.randbelow(10_000)
        try:
            for needed in (port, port + 10_000):
                with socket.socket() as found:
                    found.bind(("127.0.0.1", needed))
        except OSError:
            continue
        return port
