"""One token at a time for one OAuth client. Owns the token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from asyncreport.api.oauth import Grant
from asyncreport.core.errors import AuthError, RetriesExhausted, TransientError
from asyncreport.core.job import Secret

#: seconds before its end at which a token is renewed, or a tenth of its life where that is less; it is sent for half of them more
_MARGIN = 60.0
#: seconds for which a token endpoint that could not be had, or refused the client, is not tried again
_MEMORY = 60.0
#: tokens refused in a row, with no other answer in between, that refuse the client. Where each fifth request finds its token revoked, a
#: run of a thousand has five in a row once in three times, and ten once in some thousand; a client that is let in no more has ten within
#: seconds.
REFUSALS = 10


class Tokens:
    """Fetch a token when one is needed, renew it before it ends, and know when the client is refused rather than its token."""

    def __init__(self, fetch: Callable[[], Awaitable[Grant]]) -> None:
        self._fetch = fetch
        self._fetching = asyncio.Lock()
        self._token: Secret | None = None
        self._renewal = 0.0
        self._end = 0.0
        #: tokens refused since the last other answer
        self._refused = 0
        self._failure: RetriesExhausted | AuthError | None = None
        self._failed_at = 0.0

    def current(self, token: Secret) -> bool:
        """Tell whether a token still is the one to send."""
        # Not by its text: a server that grants the same text twice has granted two tokens.
        return token is self._token and asyncio.get_running_loop().time() < self._renewal

    @property
    def usable(self) -> Secret | None:
        """Give the token that may still be sent, though it be time to renew it; None where there is none."""
        return self._token if asyncio.get_running_loop().time() < self._end else None

    async def get(self) -> Secret:
        """Give the current token, fetched where there is none; raise what the fetch raises."""
        # Who renews a token stands in the throttle's queue behind those who hold it, whose turns it still serves; so it does others'.
        if self._fetching.locked() and (token := self.usable) is not None:
            return token
        # A lock, because a shared task would die with the first of its waiters that is cancelled: here the next one fetches.
        async with self._fetching:
            if self._token is None or not self.current(self._token):
                try:
                    grant = await self._granted()
                except RetriesExhausted:
                    # It was time to renew the old one, which is not over yet.
                    if (token := self.usable) is not None:
                        return token
                    raise
                self._token = grant.access_token
                margin = min(_MARGIN, grant.expires_in / 10)
                self._end = asyncio.get_running_loop().time() + grant.expires_in - margin / 2
                self._renewal = self._end - margin / 2
            return self._token

    async def _granted(self) -> Grant:
        now = asyncio.get_running_loop().time
        if self._failure is not None and now() < self._failed_at + _MEMORY:
            raise _told_again(self._failure) from self._failure
        try:
            return await self._fetch()
        except (RetriesExhausted, AuthError) as error:
            # Whoever waits for a token behind the lock would try as long again, one after the other.
            self._failure, self._failed_at = error, now()
            # Not the error itself: its cause may be a time-out, and would pass for one of the question that waits for the token.
            raise _told_again(error) from error

    def refuse(self, token: Secret, error: TransientError) -> None:
        """Note that the server refused a token; raise AuthError for the last of `REFUSALS` in a row without another answer in between."""
        if token is not self._token:
            return  # the late answer to a token that is gone already
        self._token = None
        self._refused += 1
        if self._refused >= REFUSALS:
            raise AuthError(
                f"{error}; {REFUSALS} tokens in a row were refused: check that the client is active (Admin > Integrations > OAuth) "
                "and that api_url and login_url are of one organisation"
            ) from error

    def accepted(self) -> None:
        """Note any other answer: the server took the token."""
        self._refused = 0


def _told_again(error: RetriesExhausted | AuthError) -> RetriesExhausted | AuthError:
    return (
        AuthError(str(error))
        if isinstance(error, AuthError)
        else RetriesExhausted(str(error), reason="lane")
    )
