"""An upgrade that is killed, again and again, goes on where it was."""

import multiprocessing
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection

import pytest

from campaigns.limited import limited
from issuance.database import schema
from issuance.database.schema import execution
from issuance.database.schema.history import History
from tests.database.upgrades.conftest import HISTORY, NEWEST, TICKETS, connect
from tests.serving import REPO

#: Seconds for which nobody waits here.
LONG = 300
#: Takes its turn at the database of its first argument, and has PostgreSQL busy for so long.
HOLDER = f"""
import sys
from issuance.database.statements import driver_of
from issuance.database.schema.sessions import session, take_turn
with session(sys.argv[1]) as connection:
    take_turn(driver_of(connection))
    print("has it", flush=True)
    driver_of(connection).execute("SELECT pg_sleep({LONG})")
"""
#: How many words an upgrade may say before it is killed, and for how many seconds it may go on after the last of them,
#: up to its next one. One that is let alone says about sixty.
MOST_WORDS, LONGEST = 10, 0.02
#: A process that has imported everything already: most of what is killed is the upgrade, not Python that starts.
FORK = multiprocessing.get_context("fork")


def upgrade(url: str, words: "Connection[str, str]") -> None:
    """Upgrades it in many batches, says each step, and goes on when it is told to."""

    def tell(at: execution.Progress) -> None:
        words.send(f"{at.revision} {at.step} {at.done}")
        words.recv()

    with limited("upgrades", first_batch=500, least_batch=500, most_batch=500):
        schema.upgrade(url, tell=tell, history=History(HISTORY))


def kill_until_done(url: str, chance: random.Random) -> int:
    """Upgrades it, killing the upgrade at random moments; how often."""
    kills = 0
    while True:
        words, said = FORK.Pipe()
        upgrading = FORK.Process(target=upgrade, args=(url, said))
        upgrading.start()
        said.close()
        with suppress(EOFError):  # it has come to its end
            for _ in range(chance.randint(1, MOST_WORDS)):
                words.recv()
                words.send("go on")
            upgrading.join(chance.uniform(0, LONGEST))
            upgrading.kill()
        upgrading.join()
        if upgrading.exitcode == 0:
            return kills
        assert upgrading.exitcode == -signal.SIGKILL
        kills += 1
        assert kills < 200


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_upgrade_goes_on_where_it_was(shop: str, seed: int) -> None:
    """Killed at any moment: it ends as a new database, no batch is done twice, and none is left out."""
    kills = kill_until_done(shop, random.Random(seed))
    assert kills >= 5, "it was killed on the way, or this shows nothing"
    assert schema.diff(shop, NEWEST) == []
    with connect(shop) as connection:
        connection.execute("SET issuance.brand_id = '*'")
        found = connection.execute("SELECT count(*), count(shown_as), min(writes), max(writes) FROM tickets").fetchone()
        assert found == (TICKETS, TICKETS, 1, 1)
        assert connection.execute("SELECT count(*) FROM schema_steps").fetchone() == (0,), "nothing is under way"


def test_what_a_killed_client_had_asked_for_ends_with_it(shop: str, history: History) -> None:
    """PostgreSQL does not go on building an index for nobody: the next upgrade gets its turn at once."""
    schema.upgrade(shop, schema.Until.BEFORE, history=history)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, shop], cwd=REPO, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "has it\n"
    began = time.monotonic()
    holder.kill()
    holder.wait()
    assert [part.revision for part in schema.upgrade(shop, history=history).ran] == ["after_0003"]
    assert time.monotonic() - began < LONG / 2
