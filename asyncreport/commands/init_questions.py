"""The questions of `asyncreport init`, and how answers are read. Pure.

The lines fit into 80 columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from asyncreport import formats
from asyncreport.config import regions
from asyncreport.core.errors import ConfigError

T = TypeVar("T")

#: letters of a description that are enough to choose it
_PART = 3

#: lengths of buckets, and what they mean
BUCKETS = {
    "PT15M": "quarter of an hour",
    "PT30M": "half an hour",
    "PT1H": "hour",
    "P1D": "day",
    "P1W": "week",
    "P1M": "month",
    "none": "the whole range",
}

#: endings of output files, and who reads them; the first is the default
FORMATS = {
    "csv": "Excel and most tools",
    "xlsx": "Excel",
    "parquet": "pandas, Polars, DuckDB",
    "jsonl": "one JSON object a line",
}
FORMAT = next(iter(FORMATS))

#: how a message about an option begins; a person who was asked does not know the option
_OPTION = re.compile(r"--[a-z-]+: ")

#: how a message suggests another value
_SUGGESTION = re.compile(r"\(did you mean '([^']+)'\?\)")


class Question(Struct, frozen=True, kw_only=True):
    """One question for a person."""

    text: str
    #: the answer if nothing is typed; empty: something must be typed
    default: str = ""
    #: lines that explain it
    hints: tuple[str, ...] = ()
    #: lines for somebody who types a question mark
    help: tuple[str, ...] = ()
    #: the answer is a secret
    hidden: bool = False
    #: nothing is an answer too
    optional: bool = False


def without_hints(question: Question) -> Question:
    """Give the question without its hints, which were already shown."""
    return replace(question, hints=())


class Person(Protocol):
    """Somebody who answers questions."""

    def ask(self, question: Question) -> str:
        """Give what was typed, without blanks around it; raise EOFError at the end of input."""

    def say(self, lines: Sequence[str]) -> None:
        """Show lines."""


def answer(
    question: Question,
    given: str,
    person: Person | None,
    read: Callable[[str], T],
) -> T:
    """Read the value of an option; without one, what a person types; without both, the default.

    `read` raises ConfigError for a value that is not accepted; a person is asked again.
    """
    if given or person is None:
        return read(given or question.default)
    person.say(question.hints)
    while True:
        text = person.ask(question)
        if question.help and text == "?":
            person.say(question.help)
        elif text or question.default or question.optional:
            try:
                return read(text or question.default)
            except ConfigError as error:
                person.say([_explained(error)])
                question = _with_suggestion(question, error)
        else:
            person.say(["  Please type an answer; Ctrl-C stops, and nothing is written."])


def _explained(error: ConfigError) -> str:
    """Write an error for the person who typed the value."""
    return "  " + _OPTION.sub("", str(error), count=1)


def _with_suggestion(question: Question, error: ConfigError) -> Question:
    """Let Enter take what an error suggests when the question is repeated."""
    found = _SUGGESTION.search(str(error))
    if found is None:
        return question
    return replace(question, default=found[1])


def pick(text: str, choices: Mapping[str, str]) -> str:
    """Give the word that a text chooses: by its number, its spelling or its description.

    `choices` maps words to descriptions, as they are listed. Give the text itself if it
    chooses no word, or several.
    """
    words = list(choices)
    wanted = text.strip(".").casefold()
    if text.isdecimal() and 1 <= int(text) <= len(words):
        return words[int(text) - 1]
    for word, description in choices.items():
        if wanted in (word.casefold(), description.casefold()):
            return word
    return _described(wanted, choices) or text


def _described(part: str, choices: Mapping[str, str]) -> str:
    """Find the one word whose description contains a text; empty if there is none."""
    found = [word for word, description in choices.items() if part in description.casefold()]
    if len(found) > 1 or len(part) < _PART:
        return ""
    return "".join(found)


# The questions -----------------------------------------------------------------------------------


def _listed(choices: Mapping[str, str]) -> tuple[str, ...]:
    """List words with their numbers and descriptions."""
    return (
        "",
        *(f"  {n} {word:<8} {choices[word]}" for n, word in enumerate(choices, 1)),
    )


def address_question(before: str) -> Question:
    """Ask for the organisation; `before` is the last answer, or the value of a variable."""
    return Question(
        text="Region",
        default=before,
        hints=(
            "Which region of Genesys Cloud? It is in the address bar of your browser:",
            "apps.mypurecloud.ie is mypurecloud.ie. Type ? for a list of all regions.",
            "(You can also type the URL of a gateway or of `asyncreport emulate`.)",
        ),
        help=tuple(regions.listed()),
    )


def login_question(api_url: str) -> Question:
    """Ask for the login host of a gateway."""
    return Question(text="Login URL", default=api_url)


def client_question(before: str) -> Question:
    """Ask for the id of the OAuth client."""
    return Question(
        text="Client id",
        default=before,
        hints=(
            "",
            "Which OAuth client? Genesys Cloud: Admin > Integrations > OAuth, grant type",
            "Client Credentials. Its id and secret go into .env, not into the job file.",
        ),
    )


def secret_question() -> Question:
    """Ask for the secret of the OAuth client."""
    return Question(text="Client secret (not shown)", hidden=True)


#: after a secret that was refused
SECRET_HINTS = (
    "",
    "Please type the secret again, or only Enter to correct the region or the id too.",
)


def second_secret_question() -> Question:
    """Ask for the secret again; nothing: something else is wrong."""
    return Question(text="Client secret (not shown); Enter for more", hidden=True, optional=True)


#: after a check that failed
CORRECTION_HINTS = (
    "",
    "Please correct the region, the id or the secret; Enter keeps what is in brackets.",
)

CHOICE_HINTS = (
    "Type a part of a name to search, or numbers of the list, such as 1 3-5, to",
    "choose; the same number again removes what was chosen.",
)


def team_question(chosen: int) -> Question:
    """Ask for a part of a name, or for numbers; `chosen` is how many were chosen."""
    if not chosen:
        return Question(text="Name or numbers; Enter for everyone")
    return Question(text=f"Name or numbers; Enter to go on with {chosen}")


def start_question() -> Question:
    """Ask for the start of the range."""
    return Question(
        text="From",
        default="today-P35D",
        hints=(
            "",
            "Which days? A date such as 2026-01-31, or one that moves with each run: today,",
            "yesterday, this_week, last_month; today-P35D is five weeks ago.",
        ),
    )


def end_question() -> Question:
    """Ask for the end of the range."""
    return Question(text="Until, this day not included", default="today")


def zone_question(zone: str) -> Question:
    """Ask for the time zone; `zone` is this machine's."""
    return Question(text="Time zone", default=zone)


def bucket_question() -> Question:
    """Ask for the length of a bucket."""
    return Question(text="One record per agent and", default="PT30M", hints=_listed(BUCKETS))


def format_question() -> Question:
    """Ask for the format of the output file."""
    choices = {word: about + _needed(word) for word, about in FORMATS.items()}
    return Question(text="Format", default=FORMAT, hints=_listed(choices))


def _needed(word: str) -> str:
    """Say behind a format what must be installed first; nothing if it can be chosen."""
    library = formats.FORMATS[f".{word}"].library
    if library is None or library.is_installed:
        return ""
    return f" (needs: pip install 'asyncreport[{library.extra}]')"


def path_question(path: str) -> Question:
    """Ask for the path of the output file."""
    return Question(text="Output file", default=path)
