"""The web processes of a host on one port: copies of one that has loaded everything. They are told to end together, and
one that ends by itself is started again.

After SIGHUP, as after an upgrade, everything starts again and nobody has to wait: the first process becomes a new one
with the same pid, which has the doors and makes new copies; the old copies work until the new ones are ready.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from socket import socket
from typing import NamedTuple

import uuid_utils

from issuance.log import logger

#: Seconds before a process that ended by itself is started again.
PAUSE = 1.0
_TOLD_TO_END = (signal.SIGTERM, signal.SIGINT)
_TOLD = (*_TOLD_TO_END, signal.SIGHUP, signal.SIGUSR1)
_HANDED_ON = "ISSUANCE_HANDED_ON"
#: What must work before a process becomes a new one: otherwise none might answer.
_TRIAL = (sys.executable, "-m", "issuance.api.trial")


class HandedOn(NamedTuple):
    """What the first process leaves to its successor: the doors, the pipe by which copies notice that the first process
    is gone, the present copies, and the folder of their figures."""

    doors: list[int]
    pipe: list[int]
    copies: list[int]
    figures: str


def handed_on() -> HandedOn | None:
    """What was left to this process; None if somebody else started it."""
    told = os.environ.pop(_HANDED_ON, None)
    return None if told is None else HandedOn(*json.loads(told))


#: How copies say that they are ready: with a byte each, and a signal, because several signals may come as one.
_ready: list[int] = []


def is_ready() -> None:
    """A copy says that it can answer."""
    os.write(_ready[1], b".")
    os.kill(os.getppid(), signal.SIGUSR1)


def run(
    number: int, work: Callable[[int], None], doors: Sequence[socket], figures: str, before: HandedOn | None = None
) -> None:
    """Let `number` processes do `work`, each with its place from 0 on, until this one is told to end and they have
    ended."""
    until_closed, held_open = before.pipe if before else os.pipe()
    copies: dict[int, int | None] = dict.fromkeys(before.copies if before else ())
    old = set(copies)
    ending: list[int] = []
    ready = 0
    _ready[:] = os.pipe()
    os.set_blocking(_ready[0], False)

    def end(*_: object) -> None:
        ending.append(1)
        for door in doors:
            door.close()  # from now on the kernel refuses
        for pid in copies:
            os.kill(pid, signal.SIGTERM)

    def take_over(*_: object) -> None:
        nonlocal ready
        with suppress(BlockingIOError):
            ready += len(os.read(_ready[0], 1024))
        if ready >= number and not ending:
            for pid in old & copies.keys():
                os.kill(pid, signal.SIGTERM)
            old.clear()

    def begin_anew(*_: object) -> None:
        if subprocess.run(_TRIAL, check=False).returncode:  # noqa: S603 - of our own
            logger.error("web_not_begun_anew")
            return
        if ending:
            return
        left = HandedOn([door.fileno() for door in doors], [until_closed, held_open], list(copies), figures)
        for kept in (*left.doors, *left.pipe):
            os.set_inheritable(kept, True)
        logger.info("web_begins_anew")
        os.environ[_HANDED_ON] = json.dumps(left)
        signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD)  # until the new process hears them
        os.execv(sys.executable, [sys.executable, "-m", "issuance.api"])  # noqa: S606 - no shell is wanted

    def begin(place: int) -> None:
        with _undisturbed():
            pid = os.fork()
            if pid == 0:
                os.close(held_open)
                _become(until_closed)
            else:
                copies[pid] = place
        if pid == 0:
            _work(work, place)

    for told, does in zip(_TOLD, (end, end, begin_anew, take_over), strict=True):
        signal.signal(told, does)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _TOLD)
    for place in range(number):
        begin(place)
    while copies:
        pid, status = os.wait()
        place_left = copies.pop(pid, None)
        if not ending and place_left is not None:
            logger.error("web_process_ended", process=place_left + 1, code=os.waitstatus_to_exitcode(status))
            time.sleep(PAUSE)
            if not ending:
                begin(place_left)


def _become(until_closed: int) -> None:
    """What a copy does first: it arranges to be told to end by itself, and to end when the first process is gone for
    whatever reason."""
    for told in _TOLD:
        signal.signal(told, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that hangs up tells the first one
    uuid_utils.reseed_rng()  # or all copies would make the same ids

    def watch() -> None:
        os.read(until_closed, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="watch", daemon=True).start()


def _work(work: Callable[[int], None], place: int) -> None:
    code = 1
    try:
        work(place)
        code = 0
    except SystemExit as said:
        code = said.code if isinstance(said.code, int) else 1
    except BaseException as error:
        logger.exception("web_process_failed", process=place + 1, error=type(error).__name__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what the first process does at its end is not this one's


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let signals wait until the block is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
