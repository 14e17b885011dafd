"""Define every error: one class per person who must act next. Pure.

    AsyncReportError
      ConfigError         the author of the job file or .env         exit 2
        UnknownTeamError  the same, or the owner of the directory
      AuthError           the owner of the OAuth client (401, 403)   exit 3
        CredentialsError  the same; no request can succeed
      ApiError
        TransientError    nobody: the client retries
        RejectedError     the author of the query                    exit 4
      RetriesExhausted    nobody: run again later                    exit 1
      StoreError          the owner of the disk                      exit 5
        DamagedPartError  nobody: the part is fetched again
        FolderInUseError  nobody: wait for the other process

A message is subject, fact, next step. A message about a response ends with its correlation id.
"""

from __future__ import annotations

import re
from typing import Literal

from asyncreport.core.object_urls import as_objects

#: the platform's code for a response that it does not send because of its size; also used for a
#: response that we do not read because of its size
TOO_LARGE = "response.entity.too.large"

#: our code for a response with a bucket that was not asked for
OFF_GRID = "off.grid"

#: our code for a response to another question: to other users, or not what was asked for at all
FOREIGN = "foreign.response"

#: why a request was given up; see RetriesExhausted
Reason = Literal["lane", "unreachable", "down", "late", "silent", "busy"]


_CORRELATION_ID = re.compile(r" \[correlation id ([^\]]+)\]")


class Interrupted(Exception):
    """Raised by work that had to stop; what was on disk before is unchanged."""


class AsyncReportError(Exception):
    """The base of all errors that the command line turns into a short message and an exit code."""

    #: the exit code of a command that ends with this error
    exit_code = 1

    def __str__(self) -> str:
        """Give the message, with its correlation id at the end.

        Facts and next steps are added to a message on its way; the id matters to support only.
        """
        text = as_objects(super().__str__())
        ids = "".join(match[0] for match in _CORRELATION_ID.finditer(text))
        return _CORRELATION_ID.sub("", text) + ids

    @property
    def texts(self) -> list[str]:
        """Give the lines of the message: one, or one for each mistake of a job file."""
        return str(self).split("\n")

    @property
    def correlation_id(self) -> str | None:
        """Give the id at the end of a message; the vendor's support asks for it."""
        match = _CORRELATION_ID.search(str(self))
        return match and match[1]


class ConfigError(AsyncReportError):
    """Report what is wrong in a job file, an option or `.env`: place, value, accepted values."""

    exit_code = 2


class UnknownTeamError(ConfigError):
    """Report a group, team or queue that does not exist in the directory, or exists twice."""


class AuthError(AsyncReportError):
    """Report credentials or permissions that Genesys Cloud refused."""

    exit_code = 3


class CredentialsError(AuthError):
    """Report a client that gets no token, or whose tokens are refused: no request can succeed."""


class ApiError(AsyncReportError):
    """Report a response that is not the data that was asked for."""

    exit_code = 4


class TransientError(ApiError):
    """Report a failed attempt that a retry may fix.

    `status` is the HTTP status if a response came; `retry_after` is the server's own delay in
    seconds.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Take the message and what a response said."""
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def timed_out(self) -> bool:
        """Tell whether the server or our own timeout gave up; a smaller request may succeed."""
        return self.status in {408, 504} or isinstance(self.__cause__, TimeoutError)


class RejectedError(ApiError):
    """Report a query that the server refused, or a response that breaks the documented form.

    If the server refused, `status` is the HTTP status and `code` the server's error code.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
    ) -> None:
        """Take the message and what a response said."""
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def is_odd(self) -> bool:
        """Tell whether the response was to another question; the next one may be right."""
        return self.code in {OFF_GRID, FOREIGN}


class RetriesExhausted(AsyncReportError):
    """Report a request that failed until its attempts or its time were used up.

    `reason` says what may help:

    * `lane`: the request was not sent, because its client got no token or no turn. Another client
      may send it.
    * `unreachable`: no attempt reached its host, which has never responded. The address may be
      wrong.
    * `down`: it failed, and so did all other requests of this client at that time. The same request
      may be answered when the server works again.
    * `late`: it timed out twice, or at the last attempt, while the server answered other requests
      of this client. A smaller request may be answered.
    * `silent`: it timed out in the same way, and the server answered no other request of this
      client meanwhile. A smaller request may be answered, but the server may also be down.
    * `busy`: any other failure, for example 503, while the server answered other requests of this
      client. The same request may be answered later.

    `lasted`: seconds without a valid response to this client, at most since the request began.
    """

    def __init__(self, message: str, *, reason: Reason = "busy", lasted: float = 0.0) -> None:
        """Take the message and what may help."""
        super().__init__(message)
        self.reason = reason
        self.lasted = lasted


class StoreError(AsyncReportError):
    """Report a failure with the state folder or an output file."""

    exit_code = 5


class DamagedPartError(StoreError):
    """Report a part whose file is not what was saved.

    `part` has the connection and the number of the part; `fact` is the message without the next
    step.
    """

    def __init__(self, fact: str, *, part: tuple[str, int]) -> None:
        """Take the fact and the part's number; the next step is added."""
        super().__init__(f"{fact}; delete this file and run again: it is fetched again")
        self.fact = fact
        self.part = part


class FolderInUseError(StoreError):
    """Report a state folder that another process holds; `fact` has no next step."""

    def __init__(self, fact: str) -> None:
        """Take the fact; the next step is added."""
        super().__init__(f"{fact}; wait until that run ends, or stop it, then run again")
        self.fact = fact
