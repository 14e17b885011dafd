"""What an organisation says about itself, and about the client that asks. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from asyncreport.emulator.fields import MAX_BYTES
from asyncreport.emulator.messages import ApiError, Response, json_response
from asyncreport.emulator.options import Options
from asyncreport.emulator.routes import Call, Route
from asyncreport.emulator.world import World

#: the namespace of the limits that the vendor's SDK reads
_NAMESPACE = "platform.api"

#: GET /api/v2/users/me of a client that logged in with client credentials
_NO_USER = (
    "This request requires a user context. "
    "Client credentials cannot be used for requests that require a user context."
)


class Organization:
    """The responses about an organisation; they need no permission."""

    def __init__(self, world: World, options: Options) -> None:
        self._world = world
        self._options = options

    def routes(self) -> Iterator[Route]:
        """List the routes about the organisation."""
        limits = "/api/v2/organizations/limits/namespaces/platform[.]api"
        yield Route.of("GET", limits, self._limits)
        yield Route.of("GET", "/api/v2/tokens/me", self._token)
        yield Route.of("GET", "/api/v2/users/me", _refuse_user)

    def _limits(self, _: Call) -> Response:
        """List the organisation's limits in the form that the vendor's SDK reads."""
        per_minute = self._options.requests_per_minute
        values = {
            "client.credentials.token.rate.per.minute": per_minute,
            "token.rate.per.minute": per_minute,
            "request.bytes.max": MAX_BYTES,
        }
        entities = [
            {"key": key, "namespace": _NAMESPACE, "value": value} for key, value in values.items()
        ]
        return json_response({"entities": entities})

    def _token(self, call: Call) -> Response:
        home = {"id": self._world.id, "name": "Emulated"}
        client: dict[str, Any] = {
            "id": call.token.client,
            "name": "asyncreport",
            "organization": home,
        }
        return json_response(
            {
                "organization": home,
                "homeOrganization": home,
                "authorizedScope": [],
                "OAuthClient": client,
            }
        )


def _refuse_user(_: Call) -> Response:
    raise ApiError(400, "bad.request", _NO_USER)
