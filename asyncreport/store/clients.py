"""Which OAuth clients fetched what a state folder holds: other ones may belong to another organisation. Owns `clients.json`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from asyncreport.core.job import Connection
from asyncreport.store.atomic import read_json, write_json


class Clients:
    """Digests of the client ids that fetched, by the connection's identity."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "clients.json"
        self._known = read_json(self._path, dict[str, list[str]]) or {}

    def strange(self, connection: Connection) -> bool:
        """Tell whether others have fetched from a connection's hosts, and none of its own clients has."""
        known = self._known.get(connection.identity, [])
        return connection.emulator is None and bool(known) and not _digests(connection) & set(known)

    def keep(self, connection: Connection) -> None:
        """Remember a connection's clients beside those before them; raise StoreError."""
        if connection.emulator is None:
            known = sorted(_digests(connection).union(self._known.get(connection.identity, [])))
            if known != self._known.get(connection.identity):
                self._known[connection.identity] = known
                write_json(self._path, self._known)


def _digests(connection: Connection) -> set[str]:
    return {
        hashlib.sha256(client.client_id.encode()).hexdigest()[:16] for client in connection.clients
    }
