"""Connections that another process resolves, with the variables of its own environment.

Reads the job file; owns no file. A connection that travels has no secret in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asyncreport.config.connections import DEFAULT, resolve_connection
from asyncreport.config.environ import expand
from asyncreport.config.literal_secrets import check_has_no_secret
from asyncreport.config.load import read_tree
from asyncreport.config.validate import Place
from asyncreport.config.yaml import Node
from asyncreport.core.job import Connection

_WHY = "with --cluster no secret travels: set the variable in the environment of the workers"


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A connection as it is written, with the names of variables in place of their values."""

    name: str
    #: None: the job file has no connections, and all of it is in the environment
    node: Node | None
    #: the position of the node, or of the job file
    where: str

    def resolve(self, environ: Mapping[str, str]) -> Connection:
        """Resolve the connection with an environment; raise ConfigError."""
        section = Place(None, self.where, ("connections",))
        if self.node is not None:
            members = {self.name: self._expanded(self.node, environ)}
            section = replace(section, node=Node(self.where, members))
        return resolve_connection(section, self.name, environ)

    def _expanded(self, node: Node, environ: Mapping[str, str]) -> Node:
        """Replace the variables."""
        return expand(Place(node, self.where, ("connections", self.name)), environ)


def unresolved_connections(
    path: Path,
    *,
    environ: Mapping[str, str],
    overrides: Sequence[str],
) -> dict[str, Unresolved]:
    """Read the connections of a job file that is known to be right, by their names.

    Raise ConfigError for a secret that is not in a variable.
    """
    root = read_tree(path, environ=environ, overrides=overrides)
    place = Place.of(root).at("connections")
    if place.node is None:
        return {DEFAULT: Unresolved(DEFAULT, None, place.where)}
    return {name: _unresolved(place.at(name)) for name in map(str, place.node.keys)}


def _unresolved(place: Place) -> Unresolved:
    """Take a connection as it is written."""
    check_has_no_secret(place, _WHY)
    return Unresolved(str(place.path[-1]), place.node, place.where)
