"""`python -m worker --queues events|bulk|webhooks …`: dramatiq's workers, started with its own options, whose master
process logs as all others do."""

import sys

import dramatiq.__main__
from dramatiq import cli

from issuance import log, settings, tracing
from issuance.errors import SettingsError


def main() -> int:
    """Run dramatiq until it is told to stop; its exit code."""
    try:
        own = settings.settings()
        tracing.check()
    except SettingsError as error:
        sys.exit(error.message)
    log.set_up(own.log_format, own.log_level)
    # As if dramatiq had been named: on a reload (SIGHUP) it starts itself again by these words.
    sys.argv = [dramatiq.__main__.__file__, "worker:start", "--skip-logging", *sys.argv[1:]]
    options = cli.make_argument_parser().parse_args(sys.argv[1:])  # type: ignore[no-untyped-call]
    return int(cli.main(options))  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    sys.exit(main())
