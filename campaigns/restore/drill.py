"""Does what docs/operations.md tells an operator to do, on PostgreSQL servers of its own, with the same programs."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, text

from issuance.catalog import coupons, membership_types, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database import schema
from issuance.database.connections import engine_for, transaction
from issuance.embedded.postgres import ADMIN, Postgres
from issuance.engine import arrivals
from issuance.tenancy import brands

REPO = Path(__file__).parents[2]
#: When the rule was made, and where the brand's clock stands: after all that is told.
BEFORE, NOW = datetime(2090, 1, 1, tzinfo=UTC), datetime(2090, 5, 1, tzinfo=UTC)
#: A folder of the server's data folder, because the server's user can reach no other here.
_ARCHIVE = "archive"
_ARCHIVING = f"""
archive_mode = on
archive_command = 'test ! -f {_ARCHIVE}/%f && cp %p {_ARCHIVE}/%f'
"""
_RECOVERING = f"""
archive_mode = off
restore_command = 'cp {_ARCHIVE}/%f %p'
recovery_target_time = '{{instant}}'
recovery_target_action = promote
"""
#: As far as the log goes.
_RECOVERING_ALL = f"""
archive_mode = off
restore_command = 'cp {_ARCHIVE}/%f %p'
"""
_LIVE = text("""
    SELECT credit_rule_id, membership_id, guest_id, period_start, reissue FROM credits
     WHERE brand_id = :brand_id AND revoked_at IS NULL
""")

Live = set[tuple[Any, ...]]


@dataclass
class Drill:
    """One drill in a folder. `say` is told each step."""

    folder: Path
    redis_url: str
    members: int
    say: Callable[[str], None]
    servers: list[Postgres] = field(default_factory=list)
    brand_id: UUID = field(init=False)
    type_id: UUID = field(init=False)

    def run(self) -> None:
        """Do the whole drill, by base backup and a log that was followed or archived, and by dump. Raises
        AssertionError if something was lost or doubled."""
        first, file = self._server("first"), self.folder / "events.jsonl"
        (first.folder / _ARCHIVE).mkdir()
        self._give_away(first.folder / _ARCHIVE, first.folder)
        self._configure(first, _ARCHIVING)
        first.start()
        self._found(first)
        told = self._told()
        backup, dump = self.folder / "backup", self.folder / "issuance.dump"
        third = len(told) // 3
        follower = self._follow(first)

        self.say(f"a club of {self.members}; {third} events, then a base backup and a dump")
        self._load(first, file, told[:third])
        self._program(first, "pg_basebackup", "-D", str(backup), "--checkpoint=fast", "--wal-method=none", admin=True)
        self._dump(first, dump)
        self._load(first, file, told[third : 2 * third])
        instant = self._now(first)
        self.say(f"{third} more events; this is the point in time: {instant}")
        time.sleep(0.1)
        self._load(first, file, told[2 * third :])
        before = self._live(first)
        self._wait_for_follower(first)
        followed = self._end(follower)
        self._execute_as_admin(first, "SELECT pg_switch_wal()")
        self._wait_for_archive(first)
        self.say(
            f"the other {len(told) - 2 * third} events: {len(before)} live credits. The server and its data are lost"
        )
        assert first.process is not None
        first.process.kill()
        first.stop()

        last = self._restored("last", first, backup, followed, _RECOVERING_ALL)
        assert self._live(last) == before, "whoever followed the log lacks nothing that was answered"
        self._issuance(last, "check")
        self.say(f"restored with the log that was followed: {len(before)} live credits, nothing is lost")

        second = self._restored("second", first, backup, first.folder / _ARCHIVE, _RECOVERING.format(instant=instant))
        assert self._live(second) != before, "what came after the point in time is gone"
        self.say(f"restored: {len(self._live(second))} live credits; the biller's file is loaded again")
        self._replay_inbox(second, file, before)

        third_server = self._from_dump(dump)
        self.say(f"restored from the dump: {len(self._live(third_server))} live credits; the file is loaded again")
        self._replay_inbox(third_server, file, before)

    def stop(self) -> None:
        for server in self.servers:
            engine_for(self._url(server)).dispose()
            server.stop()

    def _replay_inbox(self, server: Postgres, file: Path, before: Live) -> None:
        self._issuance(server, "events", "load", str(file), "--brand", str(self.brand_id))
        self._settle(server)
        assert self._live(server) == before, "the live credits are those that were lost"
        said = self._issuance(server, "events", "load", str(file), "--brand", str(self.brand_id))
        assert said.startswith("accepted 0,"), said
        checked = self._issuance(server, "check")
        assert "broken" not in checked, checked
        self.say(f"{len(before)} live credits again, and every law holds")

    def _restored(self, name: str, lost: Postgres, backup: Path, log: Path, settings: str) -> Postgres:
        """Restore from the base backup and a log, as far as `settings` say."""
        home = self.folder / name
        home.mkdir()
        shutil.copy(lost.home / "postgres.json", home)
        shutil.copytree(backup, home / "postgres")
        shutil.rmtree(home / "postgres" / _ARCHIVE)
        shutil.copytree(log, home / "postgres" / _ARCHIVE)
        (home / "postgres" / "recovery.signal").touch()
        self._give_away(home / "postgres", lost.folder)
        server = self._server(name)
        self._configure(server, settings)
        server.start()
        return server

    def _follow(self, server: Postgres) -> "subprocess.Popen[bytes]":
        """Follow a server's log from elsewhere, as it is written."""
        folder = self.folder / "followed"
        folder.mkdir()
        command = self._command(server, "pg_receivewal", "-D", str(folder), "--synchronous", "--no-loop")
        return subprocess.Popen(command, env=self._environment(server, admin=True), stderr=subprocess.DEVNULL)

    def _wait_for_follower(self, server: Postgres) -> None:
        caught_up = "SELECT coalesce(bool_or(flush_lsn >= pg_current_wal_flush_lsn()), false) FROM pg_stat_replication"
        deadline = time.monotonic() + 60
        while self._program(server, "psql", "-qAtc", caught_up, admin=True).strip() != "t":
            assert time.monotonic() < deadline, "nobody follows"
            time.sleep(0.05)

    def _end(self, follower: "subprocess.Popen[bytes]") -> Path:
        """What was followed. The segment that was being written is part of it."""
        follower.terminate()
        follower.wait()
        for partial in (self.folder / "followed").glob("*.partial"):
            partial.rename(partial.with_suffix(""))
        return self.folder / "followed"

    def _dump(self, server: Postgres, dump: Path) -> None:
        """Dump as the ordinary owner, who asks row-level security for all brands."""
        self._program(
            server, "pg_dump", "--enable-row-security", "-Fc", "-f", str(dump), PGOPTIONS="-c issuance.brand_id=*"
        )

    def _from_dump(self, dump: Path) -> Postgres:
        server = self._server("third")
        server.start()
        self._program(server, "pg_restore", "--no-owner", "--exit-on-error", "-d", server.url, str(dump))
        self._issuance(server, "schema", "upgrade")
        self._issuance(server, "schema", "diff")
        return server

    def _server(self, name: str) -> Postgres:
        home = self.folder / name
        home.mkdir(exist_ok=True)
        server = Postgres(home, durable=False)
        server.prepare()
        self.servers.append(server)
        return server

    def _configure(self, server: Postgres, settings: str) -> None:
        with (server.folder / "postgresql.auto.conf").open("a") as file:
            file.write(settings)

    def _give_away(self, folder: Path, like: Path) -> None:
        """Give a folder to the user that the server runs as."""
        owner = like.stat()
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)

    def _found(self, server: Postgres) -> None:
        """Make a brand with a rule."""
        schema.apply(self._url(server))
        with transaction(self._engine(server)) as connection:
            self.brand_id, _ = brands.create(connection, name="drill", timezone="Europe/Lisbon", sandbox=True)
            self._put_clock(connection, BEFORE)
        with transaction(self._engine(server), self.brand_id) as connection:
            self.type_id = membership_types.create(connection, self.brand_id, NewMembershipType(name="Gold"))["id"]
            body = {"name": "Spa", "discount": {"type": "percent", "value": 10}}
            coupons.put(connection, self.brand_id, "spa", CouponBody.model_validate(body))
            rule = NewCreditRule(
                membership_type_id=self.type_id,
                coupon_id="spa",
                coupon_name="Spa",
                issue_on_signup=True,
                roll_over=True,
            )
            rules.create(connection, self.brand_id, rule)
            self._put_clock(connection, NOW)

    def _put_clock(self, connection: Any, now: datetime) -> None:
        put = text("UPDATE brands SET clock_now = :now WHERE brand_id = :brand_id")
        connection.execute(put, {"now": now, "brand_id": self.brand_id})

    def _told(self) -> list[dict[str, Any]]:
        """All events, in the order in which they are sent."""
        ids = [str(uuid4()) for _ in range(self.members)]
        told = []
        for number, one in enumerate(ids):
            data = {"membership_type_id": str(self.type_id), "external_user_id": one, "starts_on": "2090-01-15"}
            told.append(_event(one, "membership.signed_up", f"2090-01-15T09:{number % 60:02}:00Z", **data))
        for month in (2, 3, 4):
            day = f"2090-{month:02}-15"
            for number, one in enumerate(ids):
                charge = {"charge_id": f"{one} {month}", "period_start": day, "amount": "90"}
                told.append(_event(one, "charge.initiated", f"{day}T06:{number % 60:02}:00Z", **charge))
                if month == 4 and number % 5 == 0:
                    # Takes back what was issued before the point in time, too.
                    charge = {"charge_id": f"{one} 3", "period_start": "2090-03-15", "amount": "90"}
                    told.append(_event(one, "charge.refunded", "2090-04-20T06:00:00Z", **charge))
        return told

    def _load(self, server: Postgres, file: Path, told: list[dict[str, Any]]) -> None:
        """Load events, and keep them in the biller's file."""
        some = self.folder / "some.jsonl"
        some.write_text("".join(json.dumps(event) + "\n" for event in told))
        self._issuance(server, "events", "load", str(some), "--brand", str(self.brand_id))
        with file.open("a") as lines:
            lines.write(some.read_text())
        self._settle(server)

    def _settle(self, server: Postgres) -> None:
        """Settle, as scheduler and workers would."""
        with transaction(self._engine(server), self.brand_id) as connection:
            ids = list(connection.scalars(text("SELECT membership_id FROM memberships")))
        arrivals.settle_soon(self._engine(server), self.brand_id, ids)

    def _live(self, server: Postgres) -> Live:
        with transaction(self._engine(server), self.brand_id) as connection:
            return {tuple(row) for row in connection.execute(_LIVE, {"brand_id": self.brand_id})}

    def _now(self, server: Postgres) -> str:
        with transaction(self._engine(server)) as connection:
            return str(connection.scalar(text("SELECT clock_timestamp()")))

    def _wait_for_archive(self, server: Postgres) -> None:
        """Wait until the log up to now is archived: the rest would be lost with the server."""
        deadline = time.monotonic() + 60
        ready = server.folder / "pg_wal" / "archive_status"
        while any(path.suffix == ".ready" for path in ready.iterdir()):
            assert time.monotonic() < deadline, "nothing archives"
            time.sleep(0.05)

    def _execute_as_admin(self, server: Postgres, statement: str) -> None:
        self._program(server, "psql", "-qAtc", statement, admin=True)

    def _program(self, server: Postgres, name: str, *arguments: str, admin: bool = False, **environment: str) -> str:
        """Run one of PostgreSQL's own programs on a server."""
        command = self._command(server, name, *arguments)
        return _called(command, {**self._environment(server, admin=admin), **environment})

    def _command(self, server: Postgres, name: str, *arguments: str) -> list[str]:
        return [str(server.installed() / "pginstall" / "bin" / name), *arguments]

    def _environment(self, server: Postgres, *, admin: bool) -> dict[str, str]:
        address = server.address
        who = {"PGUSER": ADMIN, "PGPASSWORD": address["admin"], "PGDATABASE": ADMIN}
        if not admin:
            who = {"PGUSER": "issuance", "PGPASSWORD": address["password"], "PGDATABASE": "issuance"}
        return {**os.environ, **who, "PGHOST": "127.0.0.1", "PGPORT": str(address["port"])}

    def _issuance(self, server: Postgres, *arguments: str) -> str:
        """Run the command line on a server."""
        addresses = {"DATABASE_URL": server.url, "REDIS_URL": self.redis_url}
        return _called([sys.executable, "-m", "issuance.cli", *arguments], {**os.environ, **addresses})

    def _url(self, server: Postgres) -> str:
        return server.url.replace("postgresql://", "postgresql+psycopg://", 1)

    def _engine(self, server: Postgres) -> Engine:
        return engine_for(self._url(server))


def _called(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPO, env=environment)
    assert done.returncode == 0, f"{command[0]}: {done.stderr.strip()[-2000:]}{done.stdout[-2000:]}"
    return done.stdout


def _event(membership_id: str, kind: str, instant: str, **data: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "source": "biller",
        "id": str(uuid4()),
        "type": kind,
        "time": instant,
        "data": {"membership_id": membership_id, **data},
    }
