"""A case: a link is cut as midnight comes, while the clock of one host is wrong; then everything is counted."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from campaigns.hosts.load import POINTS, USED, Load
from campaigns.hosts.network import network
from campaigns.hosts.world import DATABASE, NAMES, World, world
from campaigns.receiver import running
from issuance.database.connections import transaction
from issuance.laws import LAWS, look

#: Seconds that everything has, once the link is there again, to be at work; and once nobody asks for more, to be done.
BACK_WITHIN, DONE_WITHIN = 60.0, 60.0
#: By how many seconds a webhook may say another time than it is: receivers take five minutes for too much.
STAMPS = 30

_UNDONE = """
    SELECT EXISTS (SELECT FROM runs WHERE finished_at IS NULL)
        OR EXISTS (SELECT FROM billing_events WHERE settled_at IS NULL)
        OR EXISTS (SELECT FROM schedules WHERE due_at <= clock_timestamp() AND quarantined_at IS NULL)
        OR EXISTS (SELECT FROM deliveries WHERE state = 'pending')
"""
#: What nobody took in time is told again minutes later: that is not waited for.
_NEXT_ATTEMPT = "UPDATE deliveries SET next_at = clock_timestamp() WHERE next_at > clock_timestamp() + interval '30 s'"
#: Sessions that were there before the cut, of hosts that were cut off from PostgreSQL.
_LEFT_BEHIND = """
    SELECT host(client_addr) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_start < :since
       AND host(client_addr) = ANY(:addresses)
"""
# When the last of those who were there before had the credit of midnight.
_LAST_DUE = """
    SELECT max(issued_at) FROM credits
     WHERE period_start = :day AND membership_id IN (SELECT membership_id FROM credits WHERE period_start < :day)
"""


@dataclass(frozen=True)
class Case:
    """Whose link is cut and for how many seconds; by how many the clock of the host `other` is off; how many seconds
    it is until the cut when everything is there. Midnight comes in the middle of it."""

    cut: str
    off: int
    lasting: float = 60.0
    lead: float = 30.0

    def __str__(self) -> str:
        return f"{self.cut} cut off for {self.lasting:.0f} s, a clock off by {self.off} s"


@dataclass(frozen=True)
class Account:
    """What came of a case. `back`: seconds until every process was at work again once the link was; `pause`: the
    longest time without a sign-up taken; `late`: seconds after midnight until the last of those who were due then had
    it."""

    wrong: list[str]
    credits: int
    taken: int
    pause: float
    refused: dict[str, int]
    back: float
    late: float

    def __str__(self) -> str:
        said = f"{self.taken} sign-ups, {self.credits} credits; the longest time without a sign-up {self.pause:.1f} s, "
        said += f"midnight's credits {self.late:.1f} s after it, all at work {self.back:.1f} s after the link; "
        return said + f"sent again: {self.refused or 'nothing'}"


def play(folder: Path, case: Case) -> Account:
    """Play a case on a network of its own."""
    folder.chmod(0o755)  # PostgreSQL works as another user
    with (
        network(NAMES) as hosts,
        running(hosts.here) as receiver,
        world(folder, hosts, off=case.off) as made,
    ):
        midnight = made.comes_to_midnight(case.lead + case.lasting / 2)
        load = Load(made, receiver, midnight)
        load.prepare()
        began = made.now()
        load.start()
        cut_off = hosts.hosts[case.cut]
        made.wait(midnight - timedelta(seconds=case.lasting / 2))
        cut_at = made.now()
        cut_off.cut()
        time.sleep(case.lasting)
        cut_off.heal()
        healed_at = made.now()
        wrong = []
        while not made.are_heard_since(healed_at):
            if (made.now() - healed_at).total_seconds() > BACK_WITHIN:
                wrong.append(f"not every process is at work {BACK_WITHIN:.0f} s after the link is there again")
                break
            time.sleep(0.5)
        back = (made.now() - healed_at).total_seconds()
        wrong += _left_behind(made, case.cut, cut_at)
        load.stop()
        wrong += _wait_until_done(made)
        wrong += load.wrong + [f"{name} has ended" for name in made.ended()] + _counted(made, load)
        wrong += _stamps(load, began, made.now())
        last = made.read(_LAST_DUE, day=midnight.date())[0][0]
        return Account(
            wrong,
            int(made.read("SELECT count(*) FROM credits")[0][0]),
            len(load.taken),
            load.pause(),
            dict(load.refused),
            back,
            (last - midnight).total_seconds() if last else 0.0,
        )


def _left_behind(made: World, cut: str, since: datetime) -> list[str]:
    """What PostgreSQL still keeps of sessions whose hosts it could not reach."""
    cut_off = made.network.hosts.values() if cut == DATABASE else [made.network.hosts[cut]]
    left = made.read(_LEFT_BEHIND, since=since, addresses=[host.address for host in cut_off])
    return [f"{len(left)} sessions of before the cut are still on the server"] if left else []


def _wait_until_done(made: World) -> list[str]:
    until = time.monotonic() + DONE_WITHIN
    while made.read(_UNDONE)[0][0]:
        made.write(_NEXT_ATTEMPT)
        if time.monotonic() > until:
            return [f"not done {DONE_WITHIN:.0f} s after the last request"]
        time.sleep(0.2)
    return []


def _counted(made: World, load: Load) -> list[str]:
    """What is lost, doubled or early, one line each."""
    owed, gifts = 2 * load.before + load.after, load.gifts
    keys = "(SELECT DISTINCT membership_id, guest_id, period_start, reissue FROM credits) k"
    early = "credits WHERE issued_at < CAST(period_start AS timestamp) AT TIME ZONE 'UTC'"
    expected: dict[str, tuple[int, str]] = {
        "credits": (owed, "SELECT count(*) FROM credits"),
        "keys of credits": (owed, f"SELECT count(*) FROM {keys}"),
        "credits that were issued early": (0, f"SELECT count(*) FROM {early}"),
        "credits that were used": (len(load.used), "SELECT count(*) FROM credits WHERE redeemed_at IS NOT NULL"),
        "uses": (len(load.used), "SELECT coalesce(sum(uses), 0) FROM credits"),
        "points given": (POINTS * gifts, "SELECT coalesce(sum(received), 0) FROM wallets"),
        "points spent": (USED * gifts, "SELECT coalesce(sum(spent), 0) FROM wallets"),
        "events told": (2 * gifts + len(load.used), "SELECT count(*) FROM deliveries WHERE state = 'delivered'"),
        "memberships in quarantine": (0, "SELECT count(*) FROM schedules WHERE quarantined_at IS NOT NULL"),
    }
    found = {name: (number, int(made.read(sql)[0][0])) for name, (number, sql) in expected.items()}
    wrong = [f"{name}: {there}, not {number}" for name, (number, there) in found.items() if number != there]
    if load.credits_seen_early:
        wrong.append(f"{load.credits_seen_early} credits were seen before their period")
    came = {headers["webhook-id"] for _, headers, _ in list(load.receiver.received)}
    told = {str(row[0]) for row in made.read("SELECT event_id FROM deliveries WHERE state = 'delivered'")}
    wrong += [f"{len(told - came)} events are said to be delivered and never came"] if told - came else []
    return wrong + [f"law broken: {offender}" for offender in _offenders(made)]


def _offenders(made: World) -> list[dict[str, Any]]:
    found = []
    with transaction(made.engine, made.brand_id) as connection:
        for batch in look(connection, made.brand_id, LAWS):
            found += [{"law": law, **offender} for law, offenders in batch.items() for offender in offenders]
    return found


def _stamps(load: Load, began: datetime, ended: datetime) -> list[str]:
    """Whether webhooks say a time at which they can not have been sent."""
    stamps = [int(headers["webhook-timestamp"]) for _, headers, _ in list(load.receiver.received)]
    first, last = began.timestamp() - STAMPS, ended.timestamp() + STAMPS
    bad = [stamp for stamp in stamps if not first <= stamp <= last]
    return [f"{len(bad)} of {len(stamps)} webhooks say a wrong time"] if bad else []
