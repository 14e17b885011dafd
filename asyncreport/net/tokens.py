"""One OAuth client's token: fetched when needed, renewed in time. Owns the token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from asyncreport.api.oauth import Grant
from asyncreport.core.errors import (
    AuthError,
    CredentialsError,
    Reason,
    RetriesExhausted,
    TransientError,
)
from asyncreport.core.secret import Secret

#: seconds before its end at which a token is renewed, or a tenth of its lifetime if that is less;
#: for the first half of them it may still be sent
_MARGIN = 60.0
#: seconds without another try after a token request that failed
_MEMORY = 60.0
#: tokens refused in a row, without another response in between, that mean a refused client. If
#: every fifth request finds its token revoked, one run of 1,000 requests in three has five in a
#: row, and one in some thousand has ten. A client that was deactivated has ten within seconds.
REFUSALS = 10


class Tokens:
    """Fetch a token when one is needed, and tell a refused client from a revoked token.

    `fetch` sends the token request, with all its attempts.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Grant]]) -> None:
        self._fetch = fetch
        #: held while a token is fetched
        self._fetching = asyncio.Lock()
        self._token: Secret | None = None
        #: when to renew it, and when it may no longer be sent, by the event loop's clock
        self._renewal = 0.0
        self._end = 0.0
        #: tokens refused since the last other response
        self._refused = 0
        #: why the last token request failed, and when
        self._failure: RetriesExhausted | AuthError | None = None
        self._failed_at = 0.0

    def current(self, token: Secret) -> bool:
        """Tell whether a token is the newest one and need not be renewed yet."""
        # Compared by identity: a server may grant the same text twice, and these are two tokens.
        return token is self._token and _now() < self._renewal

    @property
    def usable(self) -> Secret | None:
        """Give the token if it may still be sent, even if it should be renewed."""
        if _now() >= self._end:
            return None
        return self._token

    async def get(self) -> Secret:
        """Give the current token, or fetch a new one; raise what the fetch raises."""
        # The request that renews the token queues at the throttle behind requests that are ready to
        # go. They must not wait for it here as long as the old token works.
        if self._fetching.locked() and (token := self.usable) is not None:
            return token
        # A lock and not a shared task: a task is cancelled together with the first request that
        # awaits it. With a lock, the next request in the queue fetches the token.
        async with self._fetching:
            # Checked with the lock held: the request before this one may have fetched a token.
            if self._token is not None and self.current(self._token):
                return self._token
            return await self._renew()

    async def _renew(self) -> Secret:
        """Ask for a new token; give the old one if that fails and it is still valid."""
        try:
            grant = await self._request()
        except RetriesExhausted:
            # The renewal is early, so the old token may be good for some seconds more.
            token = self.usable
            if token is None:
                raise
            return token
        self._store(grant)
        return grant.access_token

    def _store(self, grant: Grant) -> None:
        """Keep a new token."""
        self._token = grant.access_token
        margin = min(_MARGIN, grant.expires_in / 10)
        self._end = _now() + grant.expires_in - margin / 2
        self._renewal = self._end - margin / 2

    async def _request(self) -> Grant:
        """Send the token request, or repeat the failure of a recent one."""
        if self._failure is not None and _now() < self._failed_at + _MEMORY:
            raise _copy(self._failure) from self._failure
        try:
            return await self._fetch()
        except (RetriesExhausted, AuthError) as error:
            # Noted before the lock is free: the requests that queue there would each try for as
            # long as this one did, one after the other.
            self._failure = error
            self._failed_at = _now()
            raise _copy(error) from error

    def refuse(self, token: Secret, error: TransientError) -> None:
        """Note that the server refused a token; raise AuthError after `REFUSALS` in a row."""
        # Requests that were sent with the same token are refused together. Only the first counts,
        # and none of them may drop the new token.
        if token is not self._token:
            return
        self._token = None
        self._refused += 1
        if self._refused >= REFUSALS:
            raise CredentialsError(
                f"{error}; {REFUSALS} tokens in a row were refused: check that the client is "
                "active (Admin > Integrations > OAuth) and that api_url and login_url belong to "
                "the same organisation"
            ) from error

    def accept(self) -> None:
        """Note any other response: the server accepted the token."""
        self._refused = 0


def _copy(error: RetriesExhausted | AuthError) -> RetriesExhausted | AuthError:
    """Make a new error for each request that needed the token."""
    if isinstance(error, AuthError):
        return CredentialsError(str(error))
    # Any other reason is one of the token request only: a token endpoint that timed out does not
    # mean that a smaller query would be answered.
    reason: Reason = "lane"
    if error.reason == "unreachable":
        reason = "unreachable"
    return RetriesExhausted(str(error), reason=reason, lasted=error.lasted)


def _now() -> float:
    """Give the time of the event loop's clock."""
    return asyncio.get_running_loop().time()
