"""The story of an upgrade: before, killed again and again; both versions; back and forth; after."""

import json
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks import checkout
from campaigns.checking import club
from campaigns.upgrades.load import Load, Waits
from campaigns.upgrades.versions import REPO, Version, a_migration_ahead
from issuance.addresses import libpq_url
from issuance.database import schema

# Run by the old version, whose tables they are.
_FILL = '''
import json, sys
from campaigns.checking import club
from issuance.database import schema
from issuance.database.connections import engine_for, transaction
from issuance.tenancy import keys
url, memberships = sys.argv[1], int(sys.argv[2])
schema.apply(url)
engine = engine_for(url)
# An older campaign's copies have codes that no version makes: in small letters, which 0.3.0 reads as capitals.
with engine.begin() as connection:
    connection.exec_driver_sql("""
        CREATE FUNCTION capitals() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.code := upper(NEW.code); RETURN NEW; END $$;
        CREATE TRIGGER capitals BEFORE INSERT ON credits FOR EACH ROW EXECUTE FUNCTION capitals();
    """)
brand_id = club.make(engine, memberships, external=False)
with engine.begin() as connection:
    connection.exec_driver_sql("DROP FUNCTION capitals CASCADE")
with transaction(engine, brand_id) as connection:
    key = keys.create(connection, brand_id, ["read", "write"])[1]
    type_id = connection.exec_driver_sql("SELECT membership_type_id FROM membership_types").scalar()
print(json.dumps({"key": key, "type_id": str(type_id)}))
'''
#: Each membership of the club has so many credits.
CREDITS_A_MEMBERSHIP = club.PERIODS * len(club.RULES)
#: What nobody may wait longer than for the upgrade, in seconds.
LONGEST_WAIT = 1.0


@dataclass(frozen=True)
class Found:
    """What came of it."""

    kills: int
    requests: int
    failed: list[str]
    longest_wait: float
    differences: list[str]
    offenders: list[str]

    def wrong(self, longest_wait: float = LONGEST_WAIT) -> list[str]:
        """What should not be so, in sentences. A machine that is slow or busy needs a longer wait to be allowed."""
        return [
            *self.failed,
            *([f"somebody waited {self.longest_wait:.1f} s"] if self.longest_wait > longest_wait else []),
            *self.differences,
            *self.offenders,
        ]


class Campaign:
    """An upgrade under load: from the version in this clone to the same with a migration more, or, with `since`, from
    an older commit to the version in this clone."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        redis_url: str,
        *,
        credits_: int,
        seconds: float,
        seed: int,
        say: Callable[[str], None],
        since: str | None = None,
    ) -> None:
        self.url = database_url
        before = checkout.WORKING_TREE if since is None else checkout.of_commit(checkout.full_name(since), folder)
        after = a_migration_ahead(folder / "new") if since is None else REPO
        self.old = Version("the old version", before.root, database_url, redis_url, folder / "old.log", before.python)
        self.new = Version("the new version", after, database_url, redis_url, folder / "new.log")
        self._credits, self._seconds, self._say, self._chance = credits_, seconds, say, random.Random(seed)

    def run(self, kills: int = 5) -> Found:
        """All of it. Whatever it meets on the way, the processes are stopped at its end."""
        made = json.loads(self.old.python(_FILL, self.url, max(28, self._credits // CREDITS_A_MEMBERSHIP)))
        self._say(f"a club of {self._credits:,} credits is there")
        load = Load(lambda: [*self.old.web, *self.new.web], made["key"], made["type_id"])
        waits = Waits(libpq_url(self.url))
        try:
            self.old.start()
            with load.going_on(), waits.watched():
                killed = self._before(kills)
                self._both(load)
                self._after(load)
            self._say(f"{sum(load.done.values()):,} requests, {len(load.failed)} failed: {dict(load.done)}")
            self._say(f"nobody waited longer than {waits.longest:.2f} s for the upgrade")
            offenders = self._laws()
        finally:
            self.old.stop()
            self.new.stop()
        return Found(killed, sum(load.done.values()), load.failed, waits.longest, self._differences(), offenders)

    def _before(self, kills: int) -> int:
        """`upgrade --before` beside the old version, killed so many times, each time a little further on."""
        began = time.monotonic()
        for killed in range(kills + 1):
            at = self._progress()
            upgrading = self.new.command(["schema", "upgrade", "--before"])
            while killed < kills and upgrading.poll() is None:
                if self._progress() != at:
                    time.sleep(self._chance.uniform(0, 0.3))
                    upgrading.kill()
                time.sleep(0.005)
            said, _ = upgrading.communicate()
            if upgrading.returncode == 0:
                break
            assert upgrading.returncode == -signal.SIGKILL, said
        self._say(f"before: {time.monotonic() - began:.0f} s, killed {killed} times. {said.strip()}")
        return killed

    def _progress(self) -> object:
        """What the upgrade has written down of what it has done."""
        with psycopg.connect(libpq_url(self.url), autocommit=True) as connection:
            return connection.execute("SELECT count(*), sum(rows), count(done_at) FROM schema_steps").fetchone()

    def _both(self, load: Load) -> None:
        """Both versions; then the old one alone again; then both."""
        self.new.start()
        time.sleep(self._seconds)
        self.new.stop(load.wait_for_answers)
        self._say("back by a version")
        time.sleep(self._seconds)
        self.new.start()
        time.sleep(self._seconds)

    def _after(self, load: Load) -> None:
        """Refused while the old version is there, if it takes anything away; done when it is gone."""
        if schema.status(self.url).pending or self.new.folder != REPO:
            refused = self.new.command(["schema", "upgrade", "--after"])
            said, _ = refused.communicate(timeout=300)
            assert refused.returncode == 1, said
            assert "older processes" in said, said
        self.old.stop(load.wait_for_answers)
        began = time.monotonic()
        after = self.new.command(["schema", "upgrade", "--after"])
        said, _ = after.communicate()
        assert after.returncode == 0, said
        self._say(f"after: {time.monotonic() - began:.0f} s")
        time.sleep(self._seconds)

    def _laws(self) -> list[str]:
        """Laws that do not hold, by the new version's own check."""
        for _ in range(30):  # what was accepted last is settled in a moment
            check = self.new.command(["check", "--json"])
            document = json.loads(check.communicate()[0])
            broken = [
                f"law {law['law']} does not hold: {law['offenders'][:1]}"
                for law in document["laws"]
                if law["offenders"]
            ]
            if not broken:
                break
            time.sleep(2)
        self._say("every law holds" if not broken else "; ".join(broken))
        return broken

    def _differences(self) -> list[str]:
        """What is otherwise than in a new database: nothing, as the migration gives and takes away again."""
        return schema.diff(self.url)
