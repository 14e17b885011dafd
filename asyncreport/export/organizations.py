"""Check that a run fetches from the organisation that the existing data came from. Owns nothing.

One host serves many organisations, and nothing else in a response tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping

from asyncreport.api.organization import organization_request
from asyncreport.core.errors import ApiError, AuthError, ConfigError, RetriesExhausted
from asyncreport.core.job import Connection
from asyncreport.core.plan import Plan
from asyncreport.core.text import one_line
from asyncreport.export.run_context import RunContext

#: characters of an id in a message
_MAX_ID = 80


async def check_organizations(context: RunContext, plans: Mapping[str, Plan]) -> None:
    """Check the connections that something will be fetched from; raise ConfigError.

    Two connections of one host must not be one organisation: its records would be exported twice.
    """
    #: the connection by its host and organisation
    found: dict[tuple[str, str], str] = {}
    for connection in context.job.connections:
        if connection.emulator is None and plans[connection.name].chunks:
            await _check_organization(context, connection)
        organization = context.state.organization(connection)
        if organization is not None:
            other = found.setdefault((connection.identity, organization), connection.name)
            if other != connection.name:
                raise _same(connection.name, other, organization)


def _same(name: str, other: str, organization: str) -> ConfigError:
    """Make the error for two connections of one organisation."""
    return ConfigError(
        f"connections.{name} is the same organisation as connections.{other} "
        f"({one_line(organization, _MAX_ID)}); use connection: {other} for its teams, and write "
        "the OAuth clients of both into its clients"
    )


async def _check_organization(context: RunContext, connection: Connection) -> None:
    """Compare the organisation of the credentials with the one of earlier runs, and keep it."""
    organization = await _ask(context, connection)
    if organization is None:
        return
    saved = context.state.organization(connection)
    if saved is not None and saved != organization:
        raise _another(context, connection, organization, saved)
    await context.state.note_organization(connection, organization)


async def _ask(context: RunContext, connection: Connection) -> str | None:
    """Ask for the id of the organisation; None if the server does not say."""
    try:
        found: str | None = await context.connections.try_to_ask(
            connection.name,
            organization_request(),
        )
    except (ApiError, AuthError, ConfigError, RetriesExhausted):
        # A gateway need not know this call. If nothing else works either, the pull says so.
        return None
    return found


def _another(
    context: RunContext,
    connection: Connection,
    organization: str,
    saved: str,
) -> ConfigError:
    """Make the error for credentials of another organisation."""
    return ConfigError(
        f"{connection.name}: the OAuth client belongs to the organisation "
        f"{one_line(organization, _MAX_ID)}, but {context.job.parts_folder} holds data of the "
        f"organisation {saved} from {connection.identity}; use a client of that organisation, "
        "or give this job another name and output path"
    )
