"""Every error, one class per *who must act next*. Pure.

    AsyncReportError
      ConfigError        who wrote the job file or .env          exit 2
        UnknownTeamError the same, or who keeps the directory
      AuthError          who owns the OAuth client (401, 403)    exit 3
      ApiError
        TransientError   nobody: the client waits
        RejectedError    who wrote the query                     exit 4
      RetriesExhausted   run it again later                      exit 1
      StoreError         the disk, the lock                      exit 5
        DamagedPartError nobody: it is fetched again

A message is subject, fact, next step; one that comes from the API begins with the correlation id.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal

#: the platform's word for an answer that it does not give for its size, and ours for one that is not read
TOO_LARGE = "response.entity.too.large"

#: our word for an answer with a bucket that was not asked for
OFF_GRID = "off.grid"


#: why a request was given up; see RetriesExhausted
Reason = Literal["lane", "late", "silent", "busy"]


class AsyncReportError(Exception):
    """The root: what the command line turns into one short message and an exit code."""

    #: the process's exit code when this error ends a command
    exit_code: ClassVar[int] = 1

    @property
    def correlation_id(self) -> str | None:
        """Give the id that a message of the API begins with, which the vendor's support asks for."""
        match = re.match(r"\[([^\]]+)\] ", str(self))
        return match and match[1]


class ConfigError(AsyncReportError):
    """Report what is wrong in a job file, an option or `.env`: where, what was given, what is accepted."""

    exit_code = 2


class UnknownTeamError(ConfigError):
    """Report a group, team or queue that the directory does not have, or has several of."""


class AuthError(AsyncReportError):
    """Report credentials or permissions that Genesys Cloud refused."""

    exit_code = 3


class ApiError(AsyncReportError):
    """Report an answer of the API that is not the data asked for."""

    exit_code = 4


class TransientError(ApiError):
    """Report one attempt that failed in a way which another attempt may mend.

    `retry_after` is the server's own word on when to come back, in seconds; `status` the HTTP status where there was one.
    """

    exit_code = 1

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def timed_out(self) -> bool:
        """Tell whether the server, or our patience with it, ran out of time: a smaller question may be answered."""
        return self.status in {408, 504} or isinstance(self.__cause__, TimeoutError)


class RejectedError(ApiError):
    """Report a query that the server refused, or an answer that breaks the documented form.

    `status` is the HTTP status and `code` the server's word for the trouble, where it refused.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class RetriesExhausted(AsyncReportError):
    """Report a request that failed until its attempts or its time were used up.

    `reason` says what may help:

    * `lane`: the request was not sent, because its client got no token or no turn. Another client may send it.
    * `late`: it timed out twice, or at the last attempt, while the server answered other requests of this client. A smaller
      request may be answered.
    * `silent`: it timed out in the same way, and the server answered no other request of this client for a while. A smaller
      request may be answered, but the server may also be down.
    * `busy`: any other failure, for example 503 or 429. The same request may be answered later.
    """

    def __init__(self, message: str, *, reason: Reason = "busy") -> None:
        super().__init__(message)
        self.reason = reason


class StoreError(AsyncReportError):
    """Report trouble with the state folder or an output file."""

    exit_code = 5


class DamagedPartError(StoreError):
    """Report a part whose file is not what was saved; `number` is the part's, `fact` the message without its next step."""

    def __init__(self, fact: str, *, number: int) -> None:
        super().__init__(f"{fact}; delete this file and run again: it is fetched again")
        self.fact = fact
        self.number = number
