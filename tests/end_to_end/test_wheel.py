"""The wheel and the sdist work anywhere: installed outside the clone, by somebody who may write nowhere there."""

import hashlib
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from sqlalchemy import text

from issuance import __version__
from issuance.database.connections import transaction
from issuance.embedded import procfile
from issuance.embedded.environment import Environment
from issuance.embedded.processes import STOP_LIMIT
from issuance.settings import Settings
from tests.logs import complaints
from tests.serving import REPO, empty_redis, running
from tests.waiting import eventually

PACKAGES = ("issuance", "scheduler", "worker")
#: What stands at the top of the clone and is read by the code.
AT_THE_TOP = ("schema.sql", "Procfile", "Procfile.small")
#: Who may write nowhere and read what all may. Through a shell: setpriv itself still reads as root.
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", 'exec "$0" "$@"']
#: The interpreter that the clone's environment was made by, and the system's, which everybody reaches.
OWN, SYSTEM = sys._base_executable, "/usr/bin/python3"  # type: ignore[attr-defined]
SERVES = "import pip, sys; sys.exit(sys.version_info < (3, 11))"


def build(kind: str, clone: Path, folder: Path) -> Path:
    """A wheel or an sdist of a clone, by what pyproject.toml builds with."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)],
        cwd=clone,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        check=True,
    )
    (made,) = folder.iterdir()
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", REPO, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_has_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    """Statements, templates, styles, migrations: whatever lies beside the code is read by it."""
    there = contents(wheel)
    files = [file for package in PACKAGES for file in (REPO / package).rglob("*") if file.is_file()]
    expected = {str(file.relative_to(REPO)): file for file in files if "__pycache__" not in file.parts}
    expected |= {f"issuance/{name}": REPO / name for name in AT_THE_TOP}
    told = {name for name in there if name.startswith(f"issuance-{__version__}.dist-info/")}
    assert set(there) - told == set(expected)
    assert all(there[name] == file.read_bytes() for name, file in expected.items())


def test_the_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build("sdist", REPO, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    made = build("wheel", tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path / "wheel")
    assert made.name == wheel.name
    assert contents(made) == contents(wheel)


class Someone(NamedTuple):
    """An interpreter, and the words before a command of whoever is to run it."""

    python: str
    whom: list[str]


@pytest.fixture(scope="module")
def someone() -> Someone:
    """A user without rights where this one is root and that one reaches a Python; else who runs the tests."""
    for python in (OWN, SYSTEM) if os.geteuid() == 0 else ():
        if subprocess.run([*NOBODY, python, "-c", SERVES], cwd="/", capture_output=True, check=False).returncode == 0:
            return Someone(python, NOBODY)
    return Someone(OWN, [])


@pytest.fixture(scope="module")
def installed(wheel: Path, someone: Someone) -> Iterator[Path]:
    """An environment of the wheel and of the packages that it is tested with, and nothing else: all are pinned by
    hash, so that one which is missing among them is an error. Anybody may run it."""
    with tempfile.TemporaryDirectory(prefix="issuance-wheel-") as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setattr(sys, "executable", someone.python)
        asked = folder / "requirements.txt"
        pinned = (REPO / "requirements/serve.txt").read_text()
        asked.write_text(f"{pinned}\n{wheel} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
        environment = Environment(folder)
        environment.create()
        environment.install(asked)
        subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
        yield environment.folder / "bin"


@pytest.fixture(scope="module")
def outside(installed: Path, someone: Someone) -> Callable[..., list[str]]:
    """A command of that environment outside the clone, with nothing of the clone's."""
    without = [word for name in ("PYTHONPATH", "PYTHONHOME", "ISSUANCE_HOME") for word in ("-u", name)]
    path = os.pathsep.join([str(installed), "/usr/bin", "/bin"])

    def command(*words: str) -> list[str]:
        return ["env", *without, "-C", "/", f"PATH={path}", "HOME=/nowhere", *someone.whom, *words]

    return command


def test_its_programs_begin_outside_the_clone(outside: Callable[..., list[str]]) -> None:
    """Each says what it needs in one line, and its command which version it is."""
    said = subprocess.run(outside("issuance", "--version"), capture_output=True, text=True, check=True)
    assert said.stdout.strip() == __version__
    nothing = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    for line in (*procfile.commands(small=True).values(), "issuance serve", "issuance schema upgrade"):
        words = outside("sh", "-c", line)
        ended = subprocess.run(words, env=nothing, capture_output=True, text=True, timeout=120, check=False)
        (told,) = (ended.stdout + ended.stderr).splitlines()
        assert ended.returncode != 0
        assert "DATABASE_URL" in told, (line, told)


def test_it_serves_outside_the_clone(
    given: Settings,
    fresh_database: Callable[[], str],
    direct: Callable[[str], str],
    outside: Callable[..., list[str]],
    tmp_path: Path,
) -> None:
    """It makes the tables, serves on them with every process, answers with its pages and what belongs to them, and
    plays its own story; then all processes end."""
    url, log = direct(fresh_database()), tmp_path / "log"
    with empty_redis(given.redis_url) as redis_url:
        servers = {"DATABASE_URL": url, "REDIS_URL": redis_url}

        def issuance(*words: str) -> str:
            called = outside("issuance", *words)
            done = subprocess.run(called, env={**os.environ, **servers}, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        issuance("schema", "upgrade")
        issuance("schema", "diff")
        with running([outside("issuance", "serve", "--small")], url, redis_url, log) as server:
            for page in ("/docs", "/openapi.json", "/console/sign-in", "/console/static/console.css"):
                assert httpx.get(server.url + page).status_code == 200, page

            def all_are_heard() -> bool:
                with transaction(server.engine) as connection:
                    heard = connection.scalar(text("SELECT count(*) FROM heartbeats"))
                return bool(heard == len(procfile.commands(small=True)))

            eventually(all_are_heard)
            servers["ISSUANCE_PORT"] = server.url.rpartition(":")[2]
            assert "Everything is as it must be" in issuance("demo")
            (serve,) = server.processes
            serve.send_signal(signal.SIGTERM)
            assert serve.wait(STOP_LIMIT) == 128 + signal.SIGTERM
    assert complaints(log) == []
