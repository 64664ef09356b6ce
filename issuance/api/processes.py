"""Several web processes on one port: copies of one that has loaded everything. They are told to end together, and one
that ends by itself is begun anew."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uuid_utils

from issuance.log import logger

#: Seconds before a process is begun anew that ended by itself.
PAUSE = 1.0
_TOLD_TO_END = (signal.SIGTERM, signal.SIGINT)


def run(number: int, work: Callable[[int], None]) -> None:
    """Have `number` processes do `work`, each by its place from 0 on, until this one is told to end and they have."""
    if number == 1:
        return work(0)
    held_open, until_closed = os.pipe()[::-1]
    children: dict[int, int] = {}
    ending: list[int] = []

    def end(*_: object) -> None:
        ending.append(1)
        for pid in children:
            os.kill(pid, signal.SIGTERM)

    def begin(place: int) -> None:
        with _undisturbed():
            pid = os.fork()
            if pid == 0:
                os.close(held_open)
                _become(until_closed)
            else:
                children[pid] = place
        if pid == 0:
            _work(work, place)

    for told in _TOLD_TO_END:
        signal.signal(told, end)
    for place in range(number):
        begin(place)
    while children:
        pid, status = os.wait()
        place = children.pop(pid)
        if not ending:
            logger.error("web_process_ended", process=place + 1, code=os.waitstatus_to_exitcode(status))
            time.sleep(PAUSE)
            if not ending:
                begin(place)
    return None


def _become(until_closed: int) -> None:
    """What a copy does first: it is told to end by itself, and ends when the first process is gone, however it went."""
    for told in _TOLD_TO_END:
        signal.signal(told, signal.SIG_DFL)
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
    """Signals wait until the block is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD_TO_END)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
