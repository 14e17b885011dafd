"""The files of configs/automation: each is valid, and its command line runs as it stands there.

What is replaced: the folders of the files become folders of the test, and a script on the path
starts this interpreter.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from configparser import RawConfigParser
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal
from xml.etree import ElementTree as ET

import msgspec
import pytest
from msgspec import Struct
from ruamel.yaml import YAML

from asyncreport.core import errors
from tests.emulator_process import Handle, emulator_process
from tests.exporting import FAIL_SOON, PATIENCE, connection, environ

FILES = Path(__file__).parents[2] / "configs" / "automation"
PAGE = (Path(__file__).parents[2] / "docs" / "automation.md").read_text()

#: exit codes after which a person has to act; 1 is the one after which a later run helps
ALERT = {2, 3, 4, 5, 70}

#: the path that cron gives to a command
CRON_PATH = "/usr/bin:/bin"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=4) as handle:
        yield handle


def install(command: Path) -> None:
    """Write a script that starts this interpreter."""
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m asyncreport "$@"\n')
    command.chmod(0o755)


class Machine:
    """A folder with a job file, and the environment in which an automation starts the command."""

    def __init__(self, home: Path, emulator: Handle) -> None:
        self.home = home
        self.emulator = emulator
        #: the working folder, on a volume
        self.folder = home / "srv"
        for folder in (home / "bin", self.folder / ".venv" / "bin"):
            folder.mkdir(parents=True)
            install(folder / "asyncreport")
        self.write_job()

    def write_job(self, url: str = "") -> None:
        """Write the job; the secrets come from the environment."""
        server = url or self.emulator.url
        access = {"api_url": server, "login_url": server, "requests_per_minute": 30_000}
        secrets = {"client_id": "${GENESYS_CLIENT_ID}", "client_secret": "${GENESYS_CLIENT_SECRET}"}
        job = {
            "name": "aht",
            "connections": {"default": access | secrets},
            "range": {"start": "2024-01-01", "end": "2024-01-03"},
            "teams": [{"name": "all", "everyone": True}],
            "output": {"path": "exports/aht.jsonl"},
            **({"limits": FAIL_SOON} if url else {}),
        }
        (self.folder / "aht.yaml").write_text(json.dumps(job))

    def environ(self, secret: str = "", path: str = "") -> dict[str, str]:
        """Return the environment with the command on the path and the secrets."""
        return environ(
            PATH=path or f"{self.home / 'bin'}:/usr/bin:/bin",
            GENESYS_CLIENT_ID=self.emulator.client_id,
            GENESYS_CLIENT_SECRET=secret or self.emulator.client_secret,
        )

    def run(self, command: list[str], folder: Path, path: str = "") -> None:
        """Run a command line; it succeeds, the second time too."""
        for _ in range(2):
            done = subprocess.run(
                command,
                check=False,
                cwd=folder,
                env=self.environ(path=path),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            assert done.returncode == 0, done.stderr
        assert (self.folder / "exports" / "aht.jsonl").read_text().count("\n") > 20
        # The state is on the volume too.
        assert list((self.folder / "exports" / ".asyncreport").iterdir())


@pytest.fixture
def machine(tmp_path: Path, emulator: Handle) -> Machine:
    return Machine(tmp_path, emulator)


# cron


def cron_lines() -> list[str]:
    text = (FILES / "crontab").read_text()
    return [line for line in text.splitlines() if re.match(r"[\d*]", line)]


@pytest.mark.parametrize("line", cron_lines())
def test_a_line_of_cron_runs(line: str, machine: Machine) -> None:
    *when, command = line.split(maxsplit=5)
    assert [bool(re.fullmatch(r"[\d*/,-]+", each)) for each in when] == [True] * 5
    assert "%" not in command  # cron would take it for the end of the line
    # cron starts in the home folder.
    command = command.replace("/srv/asyncreport", str(machine.folder))
    machine.run(["/bin/sh", "-c", command], machine.home, path=CRON_PATH)


def test_cron_runs_again_later() -> None:
    first, second = cron_lines()
    assert first.split()[5:] == second.split()[5:]
    assert first.split()[:2] != second.split()[:2]


# systemd


def unit(name: str) -> RawConfigParser:
    parser = RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((FILES / name).read_text())
    return parser


def test_the_service_of_systemd_runs(machine: Machine) -> None:
    service = unit("asyncreport.service")["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert Path(program).is_absolute()
    assert Path(program).name == "asyncreport"
    assert service["WorkingDirectory"] == "/srv/asyncreport"
    program = program.replace("/srv/asyncreport", str(machine.folder))
    machine.run([program, *arguments], machine.folder, path=CRON_PATH)


def test_the_task_of_windows_names_its_program_in_full() -> None:
    text = (FILES / "task_scheduler.xml").read_text()
    assert r"<Command>C:\asyncreport\.venv\Scripts\asyncreport.exe</Command>" in text


def test_systemd_runs_again_after_1_and_alerts_after_the_others() -> None:
    parser = unit("asyncreport.service")
    service = parser["Service"]
    assert service["Type"] == "oneshot"
    assert service["Restart"] == "on-failure"
    assert {int(code) for code in service["RestartPreventExitStatus"].split()} == ALERT
    assert "EnvironmentFile" in service
    assert "OnFailure" in parser["Unit"]
    assert unit("asyncreport.timer")["Timer"].keys() >= {"OnCalendar", "Persistent"}


# Airflow


class AgainError(Exception):
    """What Airflow tries again after."""


class FailError(AgainError):
    """What Airflow does not try again after."""


def stub(monkeypatch: pytest.MonkeyPatch, home: str) -> SimpleNamespace:
    """Put the few names of Airflow in place that the file imports; `home` has the decorators."""
    seen = SimpleNamespace(tasks={}, order=[], options={}, mapped={}, task_options={})

    class Step:
        def __init__(self, name: str) -> None:
            self.name = name

        def __rshift__(self, after: Step) -> Step:
            seen.order.append((self.name, after.name))
            return after

    class Task:
        def __init__(self, function: Callable[..., None]) -> None:
            self.name = function.__name__
            seen.tasks[self.name] = function

        def __call__(self) -> Step:
            return Step(self.name)

        def expand(self, **values: list[str]) -> Step:
            seen.mapped[self.name] = values
            return Step(self.name)

    def task(function: Callable[..., None] | None = None, **options: Any) -> Any:
        if function is None:
            return partial(task, **options)
        seen.task_options[function.__name__] = options
        return Task(function)

    def dag(**options: Any) -> Callable[[Callable[[], None]], Callable[[], None]]:
        seen.options = options
        return lambda function: function

    exceptions = {"AirflowException": AgainError, "AirflowFailException": FailError}
    for name, content in {
        "airflow": {},
        "airflow.exceptions": exceptions,
        home: {"dag": dag, "task": task},
    }.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return seen


def load_dag(name: str = "airflow_dag") -> ModuleType:
    """Import the file as Airflow does."""
    spec = importlib.util.spec_from_file_location(name, FILES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("home", ["airflow.sdk", "airflow.decorators"])
def test_the_dag_runs_and_verifies(
    home: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = stub(monkeypatch, home)
    module = load_dag()
    assert seen.order == [("run", "verify")]
    assert seen.options["max_active_runs"] == 1
    assert seen.options["catchup"] is False
    assert seen.options["default_args"]["retries"] > 0
    monkeypatch.setattr(module, "FOLDER", machine.folder)
    for name, value in machine.environ().items():
        monkeypatch.setenv(name, value)
    for name in ("run", "verify"):
        seen.tasks[name]()
    assert (machine.folder / "exports" / "aht.jsonl").exists()


def test_the_dag_tries_again_after_1_and_not_after_3(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = stub(monkeypatch, "airflow.sdk")
    monkeypatch.setattr(load_dag(), "FOLDER", machine.folder)
    for name, value in machine.environ(secret="wrong").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(FailError, match="exit code 3"):
        seen.tasks["run"]()
    machine.write_job("http://127.0.0.1:1")
    with pytest.raises(AgainError, match="exit code 1:") as caught:
        seen.tasks["run"]()
    assert type(caught.value) is AgainError


def test_the_dag_does_not_verify_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = stub(monkeypatch, "airflow.sdk")
    load_dag()
    assert seen.task_options["verify"] == {"retries": 0}


@pytest.mark.parametrize("name", ["airflow_dag", "airflow_shares"])
def test_airflow_tries_again_after_a_process_that_was_killed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, "airflow.sdk")
    module = load_dag(name)
    monkeypatch.setattr(module, "FOLDER", ".")
    for command in (("sh", "-c", "kill -9 $$"), ("sh", "-c", "sh -c 'kill -9 $$'; exit $?")):
        with pytest.raises(AgainError) as caught:
            module.execute(command)
        assert type(caught.value) is AgainError


# Kubernetes: the fields that the file may have, as the reference of the API documents them


class Of(Struct, forbid_unknown_fields=True, rename="camel"):
    """An object without unknown fields."""


class Named(Of):
    name: str


class ExitCodes(Of):
    operator: Literal["In", "NotIn"]
    values: list[int]
    container_name: str | None = None


class Condition(Of):
    type: str
    status: Literal["True", "False", "Unknown"] = "True"


class Rule(Of):
    action: Literal["FailJob", "FailIndex", "Ignore", "Count"]
    on_exit_codes: ExitCodes | None = None
    on_pod_conditions: list[Condition] = []


class Rules(Of):
    rules: list[Rule]


class Source(Of):
    secret_ref: Named | None = None
    config_map_ref: Named | None = None


class Mount(Of):
    name: str
    mount_path: str
    read_only: bool = False


class Container(Of):
    name: str
    image: str
    command: list[str]
    env_from: list[Source]
    volume_mounts: list[Mount]


class Claim(Of):
    claim_name: str


class Volume(Of):
    name: str
    persistent_volume_claim: Claim | None = None
    config_map: Named | None = None


class PodSecurity(Of):
    run_as_non_root: bool
    run_as_user: int
    fs_group: int


class PodSpec(Of):
    restart_policy: Literal["Never", "OnFailure"]
    termination_grace_period_seconds: int
    security_context: PodSecurity
    containers: list[Container]
    volumes: list[Volume]


class Pod(Of):
    spec: PodSpec


class JobSpec(Of):
    backoff_limit: int
    pod_failure_policy: Rules
    template: Pod


class Job(Of):
    spec: JobSpec


class CronJobSpec(Of):
    schedule: str
    time_zone: str
    concurrency_policy: Literal["Allow", "Forbid", "Replace"]
    starting_deadline_seconds: int
    job_template: Job


class CronJob(Of):
    api_version: Literal["batch/v1"]
    kind: Literal["CronJob"]
    metadata: Named
    spec: CronJobSpec


class Storage(Of):
    requests: dict[Literal["storage"], str]


class ClaimSpec(Of):
    access_modes: list[Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"]]
    resources: Storage


class VolumeClaim(Of):
    api_version: Literal["v1"]
    kind: Literal["PersistentVolumeClaim"]
    metadata: Named
    spec: ClaimSpec


def kubernetes() -> tuple[VolumeClaim, CronJob]:
    claim, job = YAML(typ="safe", pure=True).load_all((FILES / "cronjob.yaml").read_text())
    return msgspec.convert(claim, VolumeClaim), msgspec.convert(job, CronJob)


def test_the_cron_job_of_kubernetes_is_sound() -> None:
    claim, cron_job = kubernetes()
    job = cron_job.spec.job_template.spec
    pod = job.template.spec
    (container,) = pod.containers
    # The API accepts a failure policy only with this.
    assert pod.restart_policy == "Never"
    assert cron_job.spec.concurrency_policy == "Forbid"
    fail, ignore = job.pod_failure_policy.rules
    assert fail.on_exit_codes is not None
    assert (fail.action, set(fail.on_exit_codes.values)) == ("FailJob", ALERT)
    assert fail.on_exit_codes.container_name == container.name
    assert (ignore.action, ignore.on_exit_codes) == ("Ignore", None)
    assert job.backoff_limit > 0
    volumes = {volume.name: volume for volume in pod.volumes}
    assert {mount.name for mount in container.volume_mounts} == set(volumes)
    data = volumes["data"].persistent_volume_claim
    assert data is not None
    assert data.claim_name == claim.metadata.name
    assert [source.secret_ref is not None for source in container.env_from] == [True]


def test_the_command_of_kubernetes_runs(machine: Machine) -> None:
    """The folder of the job is another one than that of the data, and read-only."""
    _, cron_job = kubernetes()
    (container,) = cron_job.spec.job_template.spec.template.spec.containers
    mounted = machine.home / "job"
    mounted.mkdir()
    (machine.folder / "aht.yaml").rename(mounted / "aht.yaml")
    mounted.chmod(0o555)
    places = {"/data": machine.folder, "/job/aht.yaml": mounted / "aht.yaml"}
    machine.run([str(places.get(each, each)) for each in container.command], machine.home)


# shares of many organisations


class IndexedSpec(Of):
    completion_mode: Literal["Indexed"]
    completions: int
    parallelism: int
    backoff_limit_per_index: int
    pod_failure_policy: Rules
    template: Pod


class IndexedJob(Of):
    api_version: Literal["batch/v1"]
    kind: Literal["Job"]
    metadata: Named
    spec: IndexedSpec


class MergeSpec(Of):
    backoff_limit: int
    template: Pod


class MergeJob(Of):
    api_version: Literal["batch/v1"]
    kind: Literal["Job"]
    metadata: Named
    spec: MergeSpec


class Bureau:
    """Two organisations, and the lines that each share and the merge of a scheduler run."""

    def __init__(self, machine: Machine, other: Handle) -> None:
        self.machine = machine
        servers = {"acme": machine.emulator, "globex": other}
        job = {
            "name": "bureau",
            "connections": {name: connection(each) for name, each in servers.items()},
            "range": {"start": "2024-01-01", "end": "2024-01-03"},
            "teams": [{"name": "all", "everyone": True, "connections": "all"}],
            "output": {
                "path": "exports/all.jsonl",
                "columns": ["connection", "user_id", "interval_start", "handled_count"],
            },
        }
        (machine.folder / "bureau.yaml").write_text(json.dumps(job))

    def run(self, command: list[str], code: int = 0, **variables: str) -> str:
        done = subprocess.run(
            command,
            check=False,
            cwd=self.machine.folder,
            env=self.machine.environ() | variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == code, done.stderr
        return done.stderr

    def check(self) -> None:
        """Compare the file with that of one run."""
        merged = (self.machine.folder / "exports" / "all.jsonl").read_bytes()
        assert b'"acme"' in merged
        assert b'"globex"' in merged
        self.run(
            ["asyncreport", "run", "bureau.yaml", "--set", "output.path=once/all.jsonl"],
        )
        assert (self.machine.folder / "once" / "all.jsonl").read_bytes() == merged


@pytest.fixture(scope="module")
def other() -> Iterator[Handle]:
    with emulator_process(agents=4, seed=2) as handle:
        yield handle


@pytest.fixture
def bureau(machine: Machine, other: Handle) -> Bureau:
    return Bureau(machine, other)


def kubernetes_shares() -> tuple[VolumeClaim, IndexedJob, MergeJob]:
    yaml = YAML(typ="safe", pure=True)
    claim, shares = yaml.load_all((FILES / "kubernetes_shares.yaml").read_text())
    merge = yaml.load((FILES / "kubernetes_merge.yaml").read_text())
    return (
        msgspec.convert(claim, VolumeClaim),
        msgspec.convert(shares, IndexedJob),
        msgspec.convert(merge, MergeJob),
    )


def test_the_indexed_job_of_kubernetes_is_sound() -> None:
    claim, shares, merge = kubernetes_shares()
    assert claim.spec.access_modes == ["ReadWriteMany"]
    fail, ignore = shares.spec.pod_failure_policy.rules
    assert fail.on_exit_codes is not None
    assert (fail.action, set(fail.on_exit_codes.values)) == ("FailIndex", ALERT)
    assert (ignore.action, ignore.on_exit_codes) == ("Ignore", None)
    assert shares.spec.backoff_limit_per_index > 0
    assert merge.spec.backoff_limit == 0
    for pod in (shares.spec.template.spec, merge.spec.template.spec):
        (container,) = pod.containers
        # The API accepts a failure policy only with this.
        assert pod.restart_policy == "Never"
        assert fail.on_exit_codes.container_name == container.name
        volumes = {volume.name: volume for volume in pod.volumes}
        assert {mount.name for mount in container.volume_mounts} == set(volumes)
        data = volumes["data"].persistent_volume_claim
        assert data is not None
        assert data.claim_name == claim.metadata.name


def test_the_shares_of_kubernetes_run_and_merge(bureau: Bureau) -> None:
    _, shares, merge = kubernetes_shares()
    (container,) = shares.spec.template.spec.containers
    places = {"/data": str(bureau.machine.folder), "/job/": f"{bureau.machine.folder}/"}

    def placed(command: list[str]) -> list[str]:
        for place, here in places.items():
            command = [each.replace(place, here) for each in command]
        return command

    for index in range(shares.spec.completions):
        bureau.run(placed(container.command), JOB_COMPLETION_INDEX=str(index))
    (container,) = merge.spec.template.spec.containers
    bureau.run(placed(container.command))
    bureau.check()


def test_the_mapped_task_of_airflow_runs_and_merges(
    bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = stub(monkeypatch, "airflow.sdk")
    monkeypatch.setattr(load_dag("airflow_shares"), "FOLDER", bureau.machine.folder)
    assert seen.order == [("run", "merge")]
    assert seen.options["max_active_runs"] == 1
    assert seen.task_options == {"run": {}, "merge": {"retries": 0}}
    for name, value in bureau.machine.environ().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(AgainError, match="exit code 1:"):
        seen.tasks["merge"]()
    shares = seen.mapped["run"]["share"]
    assert shares == ["1/4", "2/4", "3/4", "4/4"]
    for share in shares:
        seen.tasks["run"](share)
    seen.tasks["merge"]()
    bureau.check()


def test_the_array_of_slurm_runs_and_merges(bureau: Bureau) -> None:
    script = FILES / "slurm_array.sh"
    text = script.read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", text, re.MULTILINE))
    assert options.keys() == {"job-name", "array", "cpus-per-task", "mem", "time"}
    first, last = map(int, options["array"].split("-"))
    assert (first, f"SHARES={last}\n" in text) == (1, True)
    # sbatch ignores options after the first command.
    assert text.index("set -eu") > text.rindex("#SBATCH")
    for number in (1, 2, last):
        bureau.run(["/bin/sh", str(script)], SLURM_ARRAY_TASK_ID=str(number))
    (merge,) = re.findall(r"--wrap '([^']+)'", text)
    bureau.run(shlex.split(merge))
    bureau.check()


# Windows

SPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"

#: the elements that the schema of the Task Scheduler has, in the order of its sequences
CHILDREN = {
    "Task": ["RegistrationInfo", "Triggers", "Settings", "Actions"],
    "RegistrationInfo": ["Description"],
    "Triggers": ["CalendarTrigger"],
    "CalendarTrigger": ["StartBoundary", "Repetition", "ScheduleByDay"],
    "Repetition": ["Interval", "Duration"],
    "ScheduleByDay": ["DaysInterval"],
    "Settings": [
        "MultipleInstancesPolicy",
        "StartWhenAvailable",
        "RunOnlyIfNetworkAvailable",
        "ExecutionTimeLimit",
    ],
    "Actions": ["Exec"],
    "Exec": ["Command", "Arguments", "WorkingDirectory"],
}


def test_the_task_of_windows_is_sound_and_its_arguments_run(machine: Machine) -> None:
    root = ET.parse(FILES / "task_scheduler.xml").getroot()
    found = {each.tag.removeprefix(SPACE): each for each in root.iter() if len(each)}
    assert {
        name: [child.tag.removeprefix(SPACE) for child in node] for name, node in found.items()
    } == CHILDREN
    texts = {each.tag.removeprefix(SPACE): each.text or "" for each in root.iter()}
    assert texts["MultipleInstancesPolicy"] == "IgnoreNew"
    assert texts["Command"].endswith(r"\asyncreport.exe")
    assert texts["WorkingDirectory"] == r"C:\asyncreport"
    machine.run(
        [str(machine.home / "bin" / "asyncreport"), *texts["Arguments"].split()], machine.folder
    )


# the page


def test_the_page_shows_every_file() -> None:
    links = set(re.findall(r"\(\.\./configs/automation/([\w.]+)\)", PAGE))
    assert links == {path.name for path in FILES.iterdir() if path.is_file()}


def test_the_codes_after_which_a_person_acts_are_those_of_the_errors() -> None:
    kinds = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.AsyncReportError)
    ]
    assert {kind.exit_code for kind in kinds} <= ALERT | {1}


@pytest.mark.parametrize("block", re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
def test_the_lines_of_the_page_run(block: str, machine: Machine) -> None:
    text = (machine.folder / "aht.yaml").read_text()
    (machine.folder / "east.yaml").write_text(
        text.replace('"aht"', '"east"').replace("aht.jsonl", "east.jsonl")
    )
    machine.run(["/bin/sh", "-ec", block], machine.folder)
