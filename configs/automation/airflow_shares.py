"""Export many organisations every night: a mapped task for each share, then a merge.

`asyncreport` is installed for the workers. /srv/asyncreport is a volume that all of them see, and
file locks work between them: it has bureau.yaml, the exports and their state. The secrets are in
the environment of the workers.
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
RUN = ("asyncreport", "run", "--log-format", "json", "bureau.yaml", "--connections")
MERGE = ("asyncreport", "merge", "--log-format", "json", "bureau.yaml")

#: tasks into which the connections are divided
SHARES = 4
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
    schedule="15 1 * * *",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,  # one run fetches all that is missing, of earlier days too
    max_active_runs=1,  # a second run would find locks held, and end with 5
    default_args={"retries": 3, "retry_delay": timedelta(minutes=30)},
)
def asyncreport_bureau() -> None:
    """Fetch all shares at the same time, then write the files of all connections.

    Leave `merge` out if the paths of the job contain {connection}.
    """

    @task
    def run(share: str) -> None:
        execute((*RUN, share))

    # A second attempt of the merge fetches nothing: clear the shares instead.
    @task(retries=0)
    def merge() -> None:
        execute(MERGE)

    run.expand(share=[f"{number}/{SHARES}" for number in range(1, SHARES + 1)]) >> merge()


asyncreport_bureau()
