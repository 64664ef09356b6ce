"""A campaign: puts a load on a site, causes faults at random moments, and accounts for what came of it."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from campaigns.chaos.faults import FAULTS, Fault, Weather
from campaigns.chaos.load import Canary, Load
from campaigns.faults.club import new_club
from campaigns.faults.site import Site
from campaigns.receiver import running

#: How long everything may take to settle after the last fault, in seconds.
_SETTLE_LIMIT = 300.0
#: So many sing side by side: one that sings while a fault happens says nothing of it.
_CANARIES = 4


@dataclass
class Happened:
    """A fault: when it began and ended (time.monotonic()), and after how many seconds service was normal again."""

    name: str
    began: float
    over: float
    recovered_in: float | None = None


@dataclass
class Account:
    """The result of a campaign. If nothing is `wrong`, no credit was lost, doubled or early."""

    happened: list[Happened] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    months: int = 0
    credits: int = 0
    songs: int = 0
    seconds: float = 0.0
    #: Resident memory of each process of the Procfile with its children, in bytes, by time in seconds.
    memory: list[tuple[float, dict[str, int]]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """`gap`: seconds from one fault to the next, on average; `lasting`: how long a lasting fault lasts, in seconds.

    With `soak` faults come every `gap` seconds for so many seconds instead of `faults` times.
    """

    members: int
    faults: int
    seed: int = 0
    gap: float = 1.0
    lasting: float = 2.0
    soak: float = 0.0
    only: str = ""


def run(
    site: Site,
    plan: Plan,
    signed_up: Callable[[int], None],
    fault_over: Callable[[Happened], None],
    faults: Mapping[str, Fault] = FAULTS,
) -> Account:
    """Carry out a plan with these faults. The callbacks are told the progress."""
    account = Account()
    chance = random.Random(plan.seed)
    with ExitStack() as stack:
        receiver = stack.enter_context(running())
        club = stack.enter_context(new_club(site))
        club.receiver = receiver
        load = Load(club, plan.members)
        load.prepare(signed_up)
        canaries = [Canary(stack.enter_context(new_club(site))) for _ in range(_CANARIES)]
        site.wait_until_up()
        began = time.monotonic()
        load.start()
        for canary in canaries:
            canary.start()
        with _sampled(site, account, began):
            _cause_faults(Weather(site, chance, plan.lasting, load.jump), plan, account, fault_over, faults)
            _see_the_end(site, canaries, account)
            load.stop()
            for canary in canaries:
                canary.stop()
        account.songs = sum(len(canary.songs) for canary in canaries)
        for one in (club, *(canary.club for canary in canaries)):
            try:
                one.wait_until_done(_SETTLE_LIMIT)
            except AssertionError as error:
                account.wrong.append(str(error))
        account.wrong += load.wrong()
        for canary in canaries:
            account.wrong += canary.wrong()
        account.months, account.credits = load.months, club.credits
        account.seconds = time.monotonic() - began
    return account


def _cause_faults(
    weather: Weather,
    plan: Plan,
    account: Account,
    fault_over: Callable[[Happened], None],
    faults: Mapping[str, Fault],
) -> None:
    """Cause faults, lasting ones side by side: each kind equally often, in random order."""
    names = [name for name in faults if plan.only in name]
    lasting: list[threading.Thread] = []
    deadline = time.monotonic() + plan.soak
    deck: list[str] = []

    def happen(name: str) -> None:
        fault = Happened(name, time.monotonic(), 0.0)
        faults[name](weather)
        fault.over = time.monotonic()
        account.happened.append(fault)
        fault_over(fault)

    number = 0
    while number < plan.faults or time.monotonic() < deadline:
        deck = deck or weather.chance.sample(names, len(names))
        thread = threading.Thread(target=happen, args=(deck.pop(),))
        thread.start()
        lasting.append(thread)
        number += 1
        time.sleep(plan.gap if plan.soak else weather.chance.expovariate(1 / plan.gap))
    for thread in lasting:
        thread.join()


def _see_the_end(site: Site, canaries: list[Canary], account: Account) -> None:
    """Wait for normal service after the last fault, and note when it was back after each."""
    site.orders.take_back()
    last = max((fault.over for fault in account.happened), default=time.monotonic())
    deadline = time.monotonic() + _SETTLE_LIMIT
    while _back(canaries, last) is None and time.monotonic() < deadline and site.supervisor.poll() is None:
        time.sleep(0.1)
    assert site.supervisor.poll() is None, f"the supervisor itself has ended:\n{site.last_words()}"
    for fault in account.happened:
        sung = _back(canaries, fault.over)
        if sung is None:
            account.wrong.append(f"no normal service after: {fault.name}")
        else:
            fault.recovered_in = sung - fault.over


def _back(canaries: list[Canary], since: float) -> float | None:
    """When service was seen to be normal: the end of the first probe that began then or later. None: not yet."""
    return min((sung for canary in canaries if (sung := canary.service_since(since)) is not None), default=None)


@contextmanager
def _sampled(site: Site, account: Account, began: float) -> Iterator[None]:
    over = threading.Event()

    def sample() -> None:
        while not over.wait(5):
            names = {name: pids for name, pids in site.processes().items() if name not in ("postgres", "valkey")}
            used = {name: sum(_resident(pid) for pid in pids) for name, pids in names.items()}
            account.memory.append((time.monotonic() - began, used))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _resident(pid: int) -> int:
    """Bytes that a process has in memory."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), 0)
