"""`python -m scheduler`: calls `tick.run_once` every second. SIGTERM and SIGINT end it after the current tick."""

import signal
import sys
import threading
import time

from sqlalchemy import Engine

from issuance import hints, log, measures, tracing
from issuance.database import allow, aside, budget, engine_for, is_away, outage
from issuance.database.complaints import in_short
from issuance.errors import SchemaAhead, SchemaBehind, SettingsError
from issuance.heartbeats import Heart
from issuance.hints import broker_for
from issuance.settings import OwnSettings, settings
from scheduler.tick import run_once, tidy

#: Seconds from one tick to the next.
PERIOD = 1.0
#: Connections to PostgreSQL: with one it looks for work, with the other it tidies beside that.
MOST_CONNECTIONS = 2
#: Seconds until old rows are removed: after the start (soon, as one that is often restarted would never come to it),
#: after the last removal, and after one that failed.
TIDY_FIRST, TIDY_EVERY, TIDY_AGAIN = 60.0, 3600.0, 60.0

#: Whether ticks fail although the database is there.
failing = log.Outage("tick", "failed", "works")
#: Whether the removal of old rows fails.
untidy = log.Outage("tidy", "failed", "works")


def main() -> None:
    """Run until told to stop, or the schema does not fit. A tick that fails is logged; the next one looks again."""
    try:
        own = settings()
        tracing.set_up("scheduler")
    except SettingsError as error:
        sys.exit(error.message)
    log.set_up(own.log_format, own.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    allow(budget(MOST_CONNECTIONS))
    engine, broker = engine_for(own.database_url), broker_for(own.redis_url)
    log.logger.info("scheduler_started", period_seconds=PERIOD)
    # It beats in this thread: a scheduler that hangs stops beating.
    heart = Heart(engine, "scheduler", hints.outage.is_on, file=own.heart_file)
    threading.Thread(target=tidy_always, args=(engine, own, stop), name="tidy", daemon=True).start()
    while not stop.is_set():
        began = time.monotonic()
        try:
            tick = run_once(engine, broker)
            measures.ticked(time.monotonic() - began)
            outage.is_over()
            failing.is_over()
            if tick.is_news(broker_away=hints.outage.is_on()):
                log.logger.info(
                    "tick",
                    sweeps=tick.sweeps,
                    batches=tick.batches,
                    resumed=tick.resumed,
                    memberships=tick.memberships,
                    webhooks=tick.webhooks,
                    billers=tick.billers,
                    ms=round((time.monotonic() - began) * 1000, 1),
                )
        except (SchemaAhead, SchemaBehind) as error:
            sys.exit(error.message)
        except Exception as error:
            measures.missed("database_away" if is_away(error) else "error")
            if is_away(error):
                outage.lasts(getattr(error, "orig", error))
            else:
                failing.lasts(in_short(error))
        heart.beat()
        stop.wait(max(0.0, PERIOD - (time.monotonic() - began)))
    tracing.end()
    log.logger.info("scheduler_stopped")


def tidy_always(engine: Engine, own: OwnSettings, stop: threading.Event) -> None:
    """Delete what is kept no longer, again and again until told to stop: beside the ticks, as it may take long."""
    rest = TIDY_FIRST
    while not stop.wait(rest):
        rest = try_to_tidy(engine, own)


def try_to_tidy(engine: Engine, own: OwnSettings) -> float:
    """Delete what is kept no longer, on a connection that no look waits for; the seconds until the next time. A failure
    is counted, and tried again soon."""
    try:
        tidy(aside(engine), own)
    except Exception as error:
        if not (is_away(error) or isinstance(error, SchemaAhead | SchemaBehind)):  # the tick tells of these
            measures.missed("tidy")
            untidy.lasts(in_short(error))
        return TIDY_AGAIN
    untidy.is_over()
    return TIDY_EVERY


if __name__ == "__main__":
    main()
