"""Export handle times every morning, then verify the export.

`asyncreport` is installed for the workers. /srv/asyncreport is a volume that all of them see: it
has aht.yaml, the exports and their state. GENESYS_CLIENT_ID and GENESYS_CLIENT_SECRET are in the
environment of the workers; let it come from a secret object.
"""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta

from airflow.exceptions import AirflowException, AirflowFailException

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

FOLDER = "/srv/asyncreport"
RUN = ("asyncreport", "run", "--log-format", "json", "aht.yaml")
VERIFY = ("asyncreport", "verify", "aht.yaml")

#: exit codes after which a later attempt helps: data is missing, or the process was stopped or
#: killed, for example because the machine ran out of memory (-9; 137 if a shell reports it)
AGAIN = frozenset({1, 130, 143, 137, -9})


def execute(command: tuple[str, ...]) -> None:
    """Run a command; Airflow tries again only if that can help."""
    code = subprocess.run(command, cwd=FOLDER, check=False).returncode  # noqa: S603  (constants)
    if code in AGAIN:
        raise AirflowException(f"exit code {code}: the next attempt fetches what is missing")
    if code:
        # This exception fails the task at once; alert on it.
        raise AirflowFailException(f"exit code {code}: a person has to act")


@dag(
    schedule="15 6 * * *",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,  # one run fetches all that is missing, of earlier days too
    max_active_runs=1,  # a second run would find the lock held, and end with 5
    default_args={"retries": 3, "retry_delay": timedelta(minutes=30)},
)
def asyncreport_aht() -> None:
    """Run the job, then verify it; a task that loads the files comes after that."""

    @task
    def run() -> None:
        execute(RUN)

    # What `verify` finds stays until somebody acts on its advice, or until the run of tomorrow.
    @task(retries=0)
    def verify() -> None:
        execute(VERIFY)

    run() >> verify()


asyncreport_aht()
