"""Versions of Issuance in folders of their own: this one, an older commit, and one that is a migration ahead."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from issuance.database.revisions import NEWEST, newest_in
from issuance.database.schema.history import History
from issuance.embedded import procfile
from issuance.embedded.server import free_port

REPO = Path(__file__).parents[2]
_VERSIONS = "issuance/database/schema/migrations/versions"
#: How long processes may take to be ready, and to stop, in seconds.
PATIENCE = 330.0

# What a version does that adds to the largest table: everything that takes its time there.
_BEFORE = '''"""Credits know their channel. Made by the campaign of upgrades."""

from issuance.database.schema.steps import Backfill, Index, Sql, Steps, Validate, not_null

revision = "before_{number:04}"
down_revision = "before_{last:04}"
RELEASE = "{release}"
upgrade = Steps(
    Sql("add channel", "ALTER TABLE credits ADD COLUMN channel text"),
    Sql("old processes write it by its default", "ALTER TABLE credits ALTER channel SET DEFAULT 'desk'"),
    Backfill("what is there", table="credits", key=("brand_id", "credit_id"),
             statement="UPDATE credits SET channel = 'desk' WHERE {{range}} AND channel IS NULL"),
    *not_null("credits", "channel"),
    Sql("known channels", "ALTER TABLE credits ADD CONSTRAINT credits_channel_known CHECK (channel <> '') NOT VALID"),
    Validate("credits", "credits_channel_known"),
    Index("credits_by_channel", "credits", "(brand_id, channel, credit_id)"),
)
'''
_AFTER = '''"""And do without it. Made by the campaign of upgrades."""

from issuance.database.schema.steps import DropIndex, Sql, Steps

revision = "after_{number:04}"
down_revision = "{after}"
upgrade = Steps(
    DropIndex("credits_by_channel"),
    Sql("channel goes", "ALTER TABLE credits DROP COLUMN channel"),
)
'''


@dataclass
class Version:
    """A version in a folder, and what of it runs."""

    name: str
    folder: Path
    database_url: str
    redis_url: str
    log: Path
    #: The interpreter of an environment that has what it needs.
    interpreter: Path = Path(sys.executable)
    #: Addresses of its web processes that take requests.
    web: list[str] = field(default_factory=list)
    _running: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def environment(self, port: int = 8080) -> dict[str, str]:
        path = os.pathsep.join([str(self.interpreter.parent), os.environ.get("PATH", "")])
        own = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url, "ISSUANCE_PORT": str(port)}
        return {**os.environ, **own, "PYTHONPATH": str(self.folder), "PATH": path, "LOG_FORMAT": "json"}

    def start(self) -> None:
        """All processes of its own Procfile; requests may be sent when it returns."""
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        with self.log.open("ab") as out:
            for command in procfile.commands(self.folder).values():
                self._running.append(
                    subprocess.Popen(
                        ["sh", "-c", command],
                        cwd=self.folder,
                        env=self.environment(port),
                        stdout=out,
                        stderr=out,
                        process_group=0,
                    )
                )
        deadline = time.monotonic() + PATIENCE
        while not _ready(address):
            ended = [process for process in self._running if process.poll() is not None]
            assert not ended, f"a process of {self.name} has ended: {self.log}"
            assert time.monotonic() < deadline, f"{self.name} did not get ready: {self.log}"
            time.sleep(0.1)
        self.web.append(address)

    def stop(self, let_answer: Callable[[Sequence[str]], None] = lambda _: None) -> None:
        """All of it, as a deployment does: first no new requests, then (`let_answer`) those under way at its addresses
        are answered, then the order to stop."""
        webs = list(self.web)
        self.web.clear()
        time.sleep(1.0)
        let_answer(webs)
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._running.clear()

    def python(self, program: str, *arguments: object) -> str:
        """Runs a program on this version's modules; what it prints."""
        command = [str(self.interpreter), "-c", program, *map(str, arguments)]
        ran = subprocess.run(command, cwd=self.folder, env=self.environment(), text=True, stdout=subprocess.PIPE)
        assert ran.returncode == 0, f"{self.name} could not do it"
        return ran.stdout.splitlines()[-1]

    def command(self, arguments: Sequence[str]) -> "subprocess.Popen[str]":
        """`issuance …` of this version; what it says goes to a pipe."""
        command = [str(self.interpreter), "-m", "issuance.cli", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment(), text=True, **pipes)  # type: ignore[call-overload, no-any-return]


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def a_migration_ahead(folder: Path) -> Path:
    """This version, with one migration more, in a folder of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=REPO, capture_output=True, check=True
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (REPO / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, folder / name)
    last = History()
    named = {"number": NEWEST + 1, "last": NEWEST, "release": last.parts[-1].release, "after": last.heads[1]}
    (folder / _VERSIONS / f"before_{NEWEST + 1:04}.py").write_text(_BEFORE.format(**named))
    (folder / _VERSIONS / f"after_{NEWEST + 1:04}.py").write_text(_AFTER.format(**named))
    assert newest_in(folder / Path(_VERSIONS).parent) == NEWEST + 1
    return folder
