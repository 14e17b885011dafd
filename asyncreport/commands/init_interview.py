"""The interview of `asyncreport init`: from answers to a job. Sends nothing and writes nothing.

A person answers on a terminal, an organisation checks the client and lists its directory: tests
replace both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from asyncreport.commands.init_access import (
    REGION_VARIABLE,
    Client,
    Variables,
    described,
    known_client,
    named,
    read_hosts,
)
from asyncreport.commands.init_options import InitOptions, check_options
from asyncreport.commands.init_questions import (
    BUCKETS,
    CHOICE_HINTS,
    CORRECTION_HINTS,
    FORMAT,
    FORMATS,
    SECRET_HINTS,
    Person,
    address_question,
    answer,
    bucket_question,
    client_question,
    end_question,
    format_question,
    login_question,
    path_question,
    pick,
    second_secret_question,
    secret_question,
    start_question,
    team_question,
    without_hints,
    zone_question,
)
from asyncreport.commands.init_teams import Candidate, GivenTeam, TeamSearch, everyone, given_teams
from asyncreport.commands.team_names import valid_name
from asyncreport.config import load_options, regions
from asyncreport.config.job_text import JobDraft, job_values
from asyncreport.core.errors import AsyncReportError, AuthError, ConfigError
from asyncreport.core.job import Job
from asyncreport.core.local_time import localized
from asyncreport.core.secret import Secret
from asyncreport.core.timeline import iso

#: an earlier start than any end, and a later end than any start
_BEGIN_OF_TIME = "2000-01-02"
_END_OF_TIME = "2100-12-31"

#: what messages call the keys of the job
_LABELS = {
    "": "asyncreport init",
    "connections.default.region": "--region",
    "connections.default.api_url": "--api-url",
    "connections.default.login_url": "--login-url",
    "connections.default.client_id": "--client-id",
    "connections.default.client_secret": "--client-secret-file",
    "range.start": "--start",
    "range.end": "--end",
    "range.time_zone": "--time-zone",
    "range.granularity": "--granularity",
    "output.path": "--output",
}

#: before the organisation is known: what every check accepts
_ANY_HOSTS = {"region": regions.DEFAULT}

#: a client with an id and a secret that every check accepts
_ANY_CLIENT = Client("id", Secret("secret"), "", "")


class ClientResult(NamedTuple):
    """What a check of the client found."""

    #: 0 if it works
    exit_code: int
    #: requests per minute that the server allows; None: it does not say
    allowed: int | None = None


class Organisation(Protocol):
    """What answers about credentials and names."""

    def check_client(self, job: Job) -> ClientResult:
        """Check the client and show what was found."""

    def check_teams(self, job: Job) -> int:
        """Look up the teams and show what was found; 0 if all exist, else an exit code."""

    def candidates(self, job: Job) -> Iterable[Candidate]:
        """List teams, groups, queues and users; show what cannot be listed."""


@dataclass(slots=True, kw_only=True)
class Interview:
    """What is known so far of the job that somebody wants."""

    options: InitOptions
    variables: Variables
    #: an instant
    now: int
    #: the time zone of this machine
    zone: str
    #: None: nobody answers, and what is not given has its default
    person: Person | None
    organisation: Organisation
    #: tell whether there is a file
    exists: Callable[[str], bool]
    draft: JobDraft = field(init=False)
    client: Client = field(init=False, default=_ANY_CLIENT)

    def hold(self) -> tuple[JobDraft, Client]:
        """Ask for everything; give a job that can be loaded.

        Raise ConfigError for an option that is wrong or missing, and AsyncReportError with the exit
        code of a check that failed.
        """
        check_options(self.options)
        self._check_missing()
        self.draft = _first_draft(self.options, self.zone)
        self._take_options()
        self._connect()
        self._choose_teams()
        self._ask_range()
        self._say_range()
        self._ask_output()
        return self._named_draft(), self.client

    def _named_draft(self) -> JobDraft:
        """Add the names of the variables."""
        client = self.client
        return replace(
            self.draft,
            id_variable=client.id_variable,
            secret_variable=client.secret_variable,
        )

    # Options that are missing -------------------------------------------------------------------

    def _check_missing(self) -> None:
        """Raise ConfigError for all answers that are missing if nobody can be asked."""
        missing = [option for option, value in self._needed().items() if not value]
        if missing and self.person is None:
            raise ConfigError(
                "asyncreport init: needs a terminal, or answers as options; "
                f"missing: {'; '.join(missing)}"
            )

    def _needed(self) -> dict[str, object]:
        """Give the answers that have no default, by the options that give them."""
        options = self.options
        client_id, secret = self._known_client()
        return {
            "--region, or --api-url": options.address or self.variables.get(REGION_VARIABLE),
            "--client-id, or the variable GENESYS_CLIENT_ID": client_id,
            "--client-secret-file, or the variable GENESYS_CLIENT_SECRET": secret,
            "--team, --group, --queue, --user or --everyone": given_teams(options),
        }

    def _known_client(self) -> tuple[str, str]:
        """Give the id and the secret that are known without a question."""
        options = self.options
        return known_client(options.client_id, options.client_secret.reveal(), self.variables)

    # Options that are given ---------------------------------------------------------------------

    def _take_options(self) -> None:
        """Take what options give before any request: a mistake in one is an error at once."""
        options = self.options
        reads = [
            (self._with_zone, options.time_zone),
            # Before the bounds, which lie on edges of buckets.
            (self._with_granularity, options.granularity),
            (self._with_start, options.start),
            (self._with_given_end, self._given_end()),
            (self._with_format, options.format),
            (self._with_path, options.output),
        ]
        for read, text in reads:
            if text:
                self.draft = read(text)
        self._load_teams(given_teams(options))

    def _given_end(self) -> str:
        """Give the end that is known before a question."""
        if self.person is None:
            return self.options.end or end_question().default
        return self.options.end

    def _with_given_end(self, text: str) -> JobDraft:
        """Take the end of the range; the start may still change."""
        if self.person is None or self.options.start:
            return self._with_end(text)
        self._checked(start=_BEGIN_OF_TIME, end=text)
        return self.draft

    # The organisation and its client ------------------------------------------------------------

    def _connect(self) -> None:
        """Ask for the organisation and its client, until the client works."""
        client_id, secret = self._known_client()
        self._say_known(client_id, secret)
        self._ask_address(self.options.address, self.options.login_url)
        self._ask_client(client_id, secret)
        while exit_code := self._check_client():
            if self.person is None:
                raise _failure("the OAuth client cannot be used", exit_code)
            self._correct(self.person, exit_code)

    def _correct(self, person: Person, exit_code: int) -> None:
        """Ask again for the secret; if nothing is typed, or a host fails, for all three."""
        if exit_code == AuthError.exit_code:
            person.say(SECRET_HINTS)
            client = answer(second_secret_question(), "", person, self._with_second_secret)
            if client is not None:
                self.client = client
                return
        person.say(CORRECTION_HINTS)
        self._ask_address("", "")
        self._ask_client("", "")

    def _check_client(self) -> int:
        """Check the client; note a low rate limit. Give 0 if it works, else an exit code."""
        # Another client may have another limit.
        self.draft = replace(self.draft, requests_per_minute=None)
        job = self._load(self.draft)
        result = self.organisation.check_client(job)
        if result.allowed and result.allowed < job.connections[0].requests_per_minute:
            self.draft = replace(self.draft, requests_per_minute=result.allowed)
            self._say([f"The job file gets requests_per_minute: {result.allowed}."])
        return result.exit_code

    def _say(self, lines: Sequence[str]) -> None:
        """Show lines if there is a person."""
        if self.person is not None:
            self.person.say(lines)

    def _say_known(self, client_id: str, secret: str) -> None:
        """Say which client is used if nobody is asked for it."""
        if client_id and secret:
            self._say([f"The OAuth client is {client_id}, as options or variables say.", ""])

    def _ask_address(self, given: str, login_url: str) -> None:
        """Ask for the region, or for the URLs of a gateway."""
        before = next(iter(self.draft.hosts.values()), self.variables.get(REGION_VARIABLE))
        question = address_question(before)
        if self.draft.hosts:
            question = without_hints(question)
        self.draft = answer(question, given, self.person, self._with_address)
        api_url = self.draft.hosts.get("api_url")
        if api_url is not None:
            # Other commands take the same URL too if only one is given.
            known = login_url or (api_url if given else "")
            self.draft = answer(login_question(api_url), known, self.person, self._with_login)
        self._say([f"  {line}" for line in described(self.draft.hosts)])

    def _with_address(self, text: str) -> JobDraft:
        """Take a region, or the URL of a gateway."""
        return self._checked(hosts=read_hosts(text))

    def _with_login(self, text: str) -> JobDraft:
        """Take the login host of a gateway."""
        return self._checked(hosts={**self.draft.hosts, "login_url": text})

    def _ask_client(self, client_id: str, secret: str) -> None:
        """Ask for the id and the secret of the OAuth client."""
        question = client_question("")
        if self.client is not _ANY_CLIENT:
            question = without_hints(client_question(self.client.client_id))
            self.client = _ANY_CLIENT
        self.client = answer(question, client_id, self.person, self._with_id)
        self.client = answer(secret_question(), secret, self.person, self._with_secret)

    def _with_id(self, text: str) -> Client:
        """Take the id of the OAuth client."""
        client = self.client._replace(client_id=text)
        self._load(self.draft, client)
        return client

    def _with_secret(self, text: str) -> Client:
        """Take the secret of the OAuth client, and choose variables for both."""
        client = self.client._replace(client_secret=Secret(text))
        self._load(self.draft, client)
        return named(client.client_id, text, self.variables)

    def _with_second_secret(self, text: str) -> Client | None:
        """Take another secret of the same client; None if nothing is typed."""
        return self._with_secret(text) if text else None

    # Whose work ---------------------------------------------------------------------------------

    def _choose_teams(self) -> None:
        """Take the teams of the options, or let the person choose."""
        given = given_teams(self.options)
        if given or self.person is None:
            self._take_teams(given)
        else:
            search = TeamSearch(self.organisation.candidates(self._load(self.draft)))
            _choose(search, self.person)
            self.draft = self._checked(teams=tuple(search.teams()))

    def _take_teams(self, given: Sequence[GivenTeam]) -> None:
        """Take teams of options; raise an error if the organisation does not have them."""
        exit_code = self.organisation.check_teams(self._load_teams(given))
        if exit_code:
            raise _failure("not all teams can be looked up", exit_code)

    def _load_teams(self, given: Sequence[GivenTeam]) -> Job:
        """Put teams of options into the draft, and load it."""
        labels = {f"teams[{number}]": team.option for number, team in enumerate(given)}
        if given:
            self.draft = replace(self.draft, teams=tuple(team.draft for team in given))
        return self._load(self.draft, labels={**labels, **_LABELS})

    # Which days, and where they go --------------------------------------------------------------

    def _ask_range(self) -> None:
        """Ask for the days, the time zone and the buckets."""
        options = self.options
        self.draft = answer(start_question(), options.start, self.person, self._with_start)
        self.draft = answer(end_question(), options.end, self.person, self._with_end)
        self.draft = answer(
            zone_question(self.zone), options.time_zone, self.person, self._with_zone
        )
        self.draft = answer(
            bucket_question(), options.granularity, self.person, self._with_granularity
        )

    def _say_range(self) -> None:
        """Say which time the answers mean, and what was rounded."""
        job = self._load(self.draft)
        lines = [f"a run today is from {iso(job.interval.start)} until {iso(job.interval.end)}"]
        zone = job.query.grid.zone
        self._say([f"  {localized(line, zone)}" for line in (*lines, *job.notes)])

    def _with_start(self, text: str) -> JobDraft:
        """Take the start of the range; the end may still change."""
        self._checked(start=text, end=_END_OF_TIME)
        return replace(self.draft, start=text)

    def _with_end(self, text: str) -> JobDraft:
        """Take the end of the range."""
        return self._checked(end=text)

    def _with_zone(self, text: str) -> JobDraft:
        """Take the time zone."""
        return self._checked(time_zone=text)

    def _with_granularity(self, text: str) -> JobDraft:
        """Take the length of a bucket, or its number in the list."""
        return self._checked(granularity=pick(text, BUCKETS))

    def _ask_output(self) -> None:
        """Ask for the format and the path of the output file."""
        options = self.options
        if not options.output:
            question = format_question()
            self.draft = answer(question, options.format, self.person, self._with_format)
        self._ask_path(options.output)
        if self.person is not None and not options.output:
            self._confirm_path(self.person)

    def _ask_path(self, given: str = "") -> None:
        """Ask for the path of the output file."""
        question = path_question(self.draft.path)
        self.draft = answer(question, given, self.person, self._with_path)

    def _confirm_path(self, person: Person) -> None:
        """Ask again while the file exists: a run would replace it."""
        confirmed = ""
        while self.exists(self.draft.path) and self.draft.path != confirmed:
            confirmed = self.draft.path
            person.say(
                [f"  {confirmed} exists, and a run replaces it; Enter if it may, or another:"]
            )
            self._ask_path()

    def _with_format(self, text: str) -> JobDraft:
        """Take a format, or its number in the list: the end of the path."""
        ending = pick(text, FORMATS)
        if ending not in FORMATS:
            accepted = ", ".join(FORMATS)
            raise ConfigError(f"--format: must be a format, but is {text!r}; accepted: {accepted}")
        return self._checked(path=f"exports/{self.draft.name}.{ending}")

    def _with_path(self, text: str) -> JobDraft:
        """Take the path of the output file; a folder, or a file without an ending, will do."""
        home = self.variables.get("HOME")
        if text.startswith("~/") and home:
            # A shell does this for options only.
            text = home + text[1:]
        if text.endswith("/"):
            text += self.draft.name
        if not PurePath(text).suffix:
            text += PurePath(self.draft.path).suffix
        return self._checked(path=text)

    # The job so far -----------------------------------------------------------------------------

    def _checked(self, **changes: object) -> JobDraft:
        """Change the draft; raise ConfigError if it cannot be loaded as a job."""
        draft = replace(self.draft, **changes)
        self._load(draft)
        return draft

    def _load(
        self,
        draft: JobDraft,
        client: Client | None = None,
        labels: Mapping[str, str] = _LABELS,
    ) -> Job:
        """Load a draft as a job; raise ConfigError with the option of what is wrong."""
        client = client or self.client
        if not draft.hosts:
            draft = replace(draft, hosts=_ANY_HOSTS)
        values = job_values(draft, client.client_id, client.client_secret.reveal())
        return load_options(values, labels=labels, environ=self.variables.all, now=self.now)


def _first_draft(options: InitOptions, zone: str) -> JobDraft:
    """Make a draft in which everything has its default."""
    name = valid_name(options.job.stem)
    return JobDraft(
        name=name,
        hosts={},
        allow_http=options.allow_http,
        id_variable="",
        secret_variable="",
        start=start_question().default,
        end=end_question().default,
        time_zone=zone,
        granularity=bucket_question().default,
        teams=(everyone(),),
        path=f"exports/{name}.{FORMAT}",
    )


def _choose(search: TeamSearch, person: Person) -> None:
    """Let a person search and choose until nothing is typed."""
    person.say(["", f"Whose work? Found: {search.summary()}.", *search.lines()])
    person.say(CHOICE_HINTS)
    while True:
        text = person.ask(team_question(len(search.chosen)))
        if not text:
            return
        person.say(search.type(text))


def _failure(fact: str, exit_code: int) -> AsyncReportError:
    """Make the error for a check that failed; what it found was shown."""
    error = AsyncReportError(f"{fact}: see above; nothing was written")
    error.exit_code = exit_code
    return error
