"""What `init` writes at the end of the interview, and what it says about it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asyncreport.commands.git_ignore import is_exposed
from asyncreport.commands.init_access import (
    ID_VARIABLE,
    SECRET_VARIABLE,
    Client,
    Variables,
    api_url,
    missing_variables,
)
from asyncreport.commands.init_files import add_variables, is_private, write_new
from asyncreport.config import load_text
from asyncreport.config.job_text import JobDraft, job_text
from asyncreport.terminal.stderr import say


@dataclass(frozen=True, slots=True)
class InitResult:
    """The answers of the interview, and the files for them."""

    #: of the job
    path: Path
    env_file: Path
    draft: JobDraft
    client: Client
    #: those that were set before
    variables: Variables

    def write(self, now: int) -> None:
        """Write the variables that are not set yet, then the job file; `now` is an instant.

        Raise StoreError if a file cannot be written.
        """
        text = job_text(self.draft)
        environ = {**self.variables.all, **self.client.variables}
        # Before anything is written: nobody wants a job file that `run` refuses.
        load_text(text, str(self.path), environ=environ, now=now)
        self._write_variables()
        write_new(self.path, text)

    def _write_variables(self) -> None:
        """Add the variables that are missing to `.env`."""
        added = missing_variables(self.client, self.draft.hosts, self.variables)
        if not added:
            self._say_known_client()
            return
        add_variables(self.env_file, added)
        self._say_variables(added)
        self._say_other_client()

    def _say_variables(self, names: Iterable[str]) -> None:
        """Say which variables were written, and who may see them."""
        readers = "; only you can read it" if is_private(self.env_file) else ""
        say(f"wrote {self.env_file}: {', '.join(names)}{readers}")
        if is_exposed(self.env_file):
            say(
                f"warning: git does not ignore {self.env_file}, and the secret must not be "
                f"committed: add a line {self.env_file.name} to .gitignore"
            )

    def _say_known_client(self) -> None:
        """Say where the variables of the client are set."""
        names = f"{self.client.id_variable} and {self.client.secret_variable}"
        if self.variables.process.keys() & self.client.variables.keys():
            # Another shell, or a job that cron starts, may not have it.
            say(f"{names} are set in the environment, so {self.env_file} is left as it is")
        else:
            say(f"{names} are in {self.env_file} already")

    def _say_other_client(self) -> None:
        """Say why the variables do not have their usual names."""
        client = self.client
        if client.id_variable != ID_VARIABLE:
            say(
                f"{ID_VARIABLE} and {SECRET_VARIABLE} keep their values: they hold another client; "
                f"the job file uses {client.id_variable} and {client.secret_variable}"
            )

    def say_next_steps(self) -> None:
        """Say what was written and which commands come next."""
        arguments = self._arguments()
        say(f"wrote {self.path} for {api_url(self.draft.hosts)}; next:")
        say(f"  asyncreport check {arguments}   # try permissions, teams and folders")
        say(f"  asyncreport plan {arguments}    # show what a run fetches, and how long it takes")
        done = "replace" if os.path.lexists(self.draft.path) else "write"
        say(f"  asyncreport run {arguments}     # {done} {self.draft.path}")

    def _arguments(self) -> str:
        """Write the arguments of a command on the job, for a shell."""
        arguments = shlex.quote(str(self.path))
        if self.env_file == Path(".env"):
            return arguments
        return f"{arguments} --env-file {shlex.quote(str(self.env_file))}"
