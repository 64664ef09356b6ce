"""Where something is missing, one line says what, and what to do."""

import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from issuance.embedded import up
from issuance.embedded.environment import not_written
from issuance.embedded.lock import AlreadyRuns, SupervisorLock
from issuance.embedded.postgres import Postgres
from issuance.embedded.server import reachable_by_all
from tests.limits import Limit

INITDB = """
creating subdirectories ... ok
running bootstrap script ... FATAL:  could not write to file "pg_wal/xlogtemp.7": No space left on device
child process exited with exit code 1
initdb: removing contents of data directory "/proc/self/cwd"
"""


def test_a_full_disk_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Not the last thing that the program said."""
    assert Postgres(tmp_path).reason(INITDB) == (
        f"No space left on device; make room on the disk of {tmp_path}, or set ISSUANCE_HOME to a folder on another one"
    )
    full = not_written(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
    assert full.startswith(f"cannot write {tmp_path}: No space left on device; make room on the disk of")


def test_a_home_that_can_not_be_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    denied = OSError(errno.EROFS, "Read-only file system", str(tmp_path / "x"))
    assert not_written(denied, tmp_path) == (
        f"cannot write {tmp_path / 'x'}: Read-only file system; set ISSUANCE_HOME to a folder of your own"
    )


def test_a_server_that_fails_is_quoted_where_it_says_why(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path)
    assert postgres.reason("x\nFATAL:  this is why\ny\n") == "FATAL:  this is why"
    assert postgres.reason("the only word\n") == "the only word"
    assert postgres.reason("") == "it says nothing"


def test_what_a_link_leads_to_counts_as_well() -> None:
    """For root PostgreSQL runs as nobody, who enters no folder of root's by any name: programs are copied."""
    with TemporaryDirectory(dir="/tmp") as name:
        there = Path(name)
        there.chmod(0o755)
        (there / "closed").mkdir(mode=0o700)
        (there / "closed" / "programs").mkdir()
        (there / "link").symlink_to(there / "closed" / "programs")
        (there / "open").mkdir(mode=0o755)
        assert reachable_by_all(there / "open")
        assert not reachable_by_all(there / "link")
        assert not reachable_by_all(there / "closed" / "programs")


def test_a_home_is_made_where_there_is_none(tmp_path: Path) -> None:
    """As `issuance up` of a wheel begins in an empty folder; nobody else can look into it."""
    home = tmp_path / "club" / ".issuance"
    lock = SupervisorLock(home)
    assert lock.take()
    lock.release()
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_command_that_has_the_home_for_a_moment_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, limit: Limit
) -> None:
    """`./run` says so once, and gives up after some seconds; a `./run` with an address is not waited for."""
    command, run = SupervisorLock(tmp_path), SupervisorLock(tmp_path)
    assert command.take()
    looks = 0

    def third_look() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            command.release()
        return SupervisorLock.take(run)

    monkeypatch.setattr(run, "take", third_look)
    up.take(run)
    said = f"issuance: waiting for the command that uses {tmp_path} (pid {os.getpid()}) …\n"
    assert capsys.readouterr().err == said

    run.tell(ready=True)
    limit("embedded", moment=1.0)
    with pytest.raises(AlreadyRuns, match=rf"already running \(pid {os.getpid()}\)"):
        up.take(SupervisorLock(tmp_path))
    assert capsys.readouterr().err == said

    run.tell(ready=True, address="http://127.0.0.1:8080", port=8080)
    with pytest.raises(AlreadyRuns, match=r"already running at http://127\.0\.0\.1:8080"):
        up.take(SupervisorLock(tmp_path))
    assert capsys.readouterr().err == ""
