"""What is in deploy/ fits what the processes do. No container engine, cluster or systemd is needed: the files are read,
and given to `systemd-analyze` and kubernetes-validate where these are."""

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from issuance.embedded import procfile
from issuance.embedded.processes import STOP_LIMIT
from tests.serving import REPO

DEPLOY = REPO / "deploy"
MANIFESTS = [
    manifest
    for name in ("schema", "issuance")
    for manifest in (DEPLOY / f"kubernetes/{name}.yaml").read_text().split("---\n")
]
PODS = [manifest for manifest in MANIFESTS if "containers:" in manifest]
CONTAINERS = [one for each in PODS for one in re.split(r"(?m)^ +- (?=name: \w+$)", each)[1:]]
COMPOSE = (DEPLOY / "compose.yaml").read_text()
UNITS = ("issuance.service", "issuance-schema.service", "issuance-check.service")
#: A web process that finds no folder for temporary files.
NOWHERE = """
import tempfile
tempfile._candidate_tempdir_list = lambda: ["/nowhere"]
from issuance.api.__main__ import main
main()
"""
#: The environment that `sh requirements/tools` makes beside that of the tests, and what is run in it:
#: kubernetes-validate's own command knows no `generateName`.
TOOLS = Path(sys.prefix).with_name("tools")
VALIDATE = """
import sys, yaml, kubernetes_validate
for manifest in (one for name in sys.argv[1:] for one in yaml.safe_load_all(open(name))):
    kubernetes_validate.validate(manifest, "1.30", strict=True)
    print(manifest["kind"])
"""
SETTINGS = {"DATABASE_URL": "postgresql://127.0.0.1:1/nobody", "REDIS_URL": "redis://127.0.0.1:1/0"}


def unit(name: str) -> ConfigParser:
    """A unit of systemd; of a name that comes twice in it the last one."""
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "systemd" / name)
    return parser


def test_a_root_that_is_read_only_has_a_place_for_what_is_written() -> None:
    """Web shares figures in files, workers keep what a biller said in a dry run, and probes ask for hearts."""
    assert len(CONTAINERS) == 7
    writing = [one for one in CONTAINERS if "issuance.api" in one or "-m, worker" in one or "HEART_FILE" in one]
    assert len(writing) == 5
    assert all("readOnlyRootFilesystem: true" in one for one in CONTAINERS)
    assert all("volumeMounts: [{name: tmp, mountPath: /tmp}]" in one for one in writing)
    assert sum("volumes: [{name: tmp, emptyDir: {}}]" in each for each in MANIFESTS) == 3
    assert COMPOSE.count("read_only: true") == COMPOSE.count("tmpfs: [/tmp]") == 1


def test_no_pod_is_told_of_services() -> None:
    """Links to a service `issuance` would set ISSUANCE_PORT to an address, and no process would start."""
    assert len(PODS) == 5
    assert all("enableServiceLinks: false" in pod for pod in PODS)


def test_every_process_that_stays_has_a_probe() -> None:
    """Web is asked by HTTP; of the others the file that they touch is asked for, which is each one's own."""
    staying = [one for one in CONTAINERS if "[schema, upgrade]" not in one and "[check]" not in one]
    asked = [re.findall(r"livenessProbe: *(?:\{httpGet|\n +exec: .*find (\S+) )", one) for one in staying]
    touched = [re.findall(r"ISSUANCE_HEART_FILE, value: ([^}]+)}", one) for one in staying]
    assert all(len(one) == 1 for one in asked)
    assert [one for one in asked if one != [""]] == [one for one in touched if one]
    assert len({one[0] for one in asked}) == len(staying) == 5


def test_the_schemas_job_can_be_made_again() -> None:
    """A job is never changed: each version's has a name of its own, and one that is done goes."""
    (job,) = [manifest for manifest in MANIFESTS if "kind: Job" in manifest]
    assert "generateName: " in job
    assert "ttlSecondsAfterFinished: " in job
    assert "kind: Job\n" not in (DEPLOY / "kubernetes/issuance.yaml").read_text()


def test_workers_are_run_alike_and_end_in_time() -> None:
    """By the Procfiles and in Kubernetes: within less than whoever stops them waits before it kills."""
    lines = [*procfile.commands().values(), *procfile.commands(small=True).values()]
    workers = [line.split("python ")[1] for line in lines if "-m worker" in line]
    told = [
        re.sub(r'[,"]', "", one) for one in re.findall(r"command: \[python, (-m, worker, .*)\]", "".join(CONTAINERS))
    ]
    assert told == workers[:-1]
    ends = [int(one) / 1000 for line in workers for one in re.findall(r"--worker-shutdown-timeout (\d+)", line)]
    assert len(ends) == len(workers) == 4
    kills = [
        int(one)
        for one in re.findall(r"GracePeriodSeconds: (\d+)|stop_grace_period: (\d+)s", COMPOSE)
        for one in one
        if one
    ]
    kills += [int(one) for one in re.findall(r"terminationGracePeriodSeconds: (\d+)", "".join(MANIFESTS))]
    kills.append(int(unit("issuance.service")["Service"]["TimeoutStopSec"]))
    assert max(ends) <= 8
    assert min(STOP_LIMIT, *kills) > 10


def test_postgresql_may_come_later_than_the_machine() -> None:
    """What makes the schema is tried again, and the processes wait for their servers rather than fail with it."""
    made, served = unit("issuance-schema.service"), unit("issuance.service")
    assert made["Service"]["Restart"] == "on-failure"
    assert "RemainAfterExit" not in made["Service"], "it runs each time that the processes are started"
    assert "Requires" not in served["Unit"]
    assert served["Unit"]["Wants"] == served["Unit"]["After"] == "issuance-schema.service"
    assert all(one["Unit"]["StartLimitIntervalSec"] == "0" for one in (made, served))
    # While the image makes the database, a server of its own answers at the socket and not by TCP.
    assert "pg_isready, -h, 127.0.0.1," in COMPOSE
    assert 'restart: "no"' not in COMPOSE


def test_a_reload_has_the_schema_first() -> None:
    """New processes need it; where it fails, the old ones are not told to go."""
    said = re.findall(r"(?m)^ExecReload=(.*)$", (DEPLOY / "systemd/issuance.service").read_text())
    assert said == ["+/usr/bin/systemctl start issuance-schema.service", "/bin/kill -HUP $MAINPID"]


def test_the_units_are_one_user() -> None:
    """PostgreSQL, which may ask for it (peer), lets one in by its name."""
    assert {unit(name)["Service"]["User"] for name in UNITS} == {"issuance"}
    assert {unit(name)["Service"]["DynamicUser"] for name in UNITS} == {"yes"}


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """All of them, without a warning, with a program that is there in the place of Issuance's."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not there")
    for given in (DEPLOY / "systemd").iterdir():
        (tmp_path / given.name).write_text(given.read_text().replace("/opt/issuance/bin/issuance", "/bin/true"))
    said = subprocess.run(
        [tool, "verify", "--man=no", "--recursive-errors=no", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


def test_kubernetes_takes_the_manifests() -> None:
    """By the schemas of its API: those of all its versions are 110 MB, so they are not in everybody's environment."""
    if not list(TOOLS.glob("lib/*/site-packages/kubernetes_validate")):
        pytest.skip("kubernetes-validate is not there: sh requirements/tools")
    files = sorted(map(str, (DEPLOY / "kubernetes").iterdir()))
    command = [str(TOOLS / "bin/python"), "-c", VALIDATE, *files]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert len(said.stdout.splitlines()) == len(MANIFESTS)


def test_a_web_process_that_can_write_nowhere_says_so_in_a_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", NOWHERE], cwd=REPO, env=SETTINGS, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    (line,) = (ended.stdout + ended.stderr).splitlines()
    assert "TMPDIR" in line
