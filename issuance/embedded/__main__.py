"""What `./run` and `./test` become once their environment is there."""

import errno
import signal
import sys

from issuance.embedded.environment import not_written
from issuance.errors import IssuanceError

USAGE = """\
./run            starts everything: database, queue, web, scheduler, workers
./run demo       shows some billing cycles of a made-up club, then stops
./run bench …    measures how fast it is, beside its peers: ./run bench --help
./run simulate   plays random histories in a simulated world: ./run simulate --help
./run sabotage   removes the guards one at a time: do the tests notice? ./run sabotage --help
./run crashes    crashes it at every step of the code; the result must be right: ./run crashes --help
./run chaos      causes faults of every kind, then counts every credit: ./run chaos --help
./run COMMAND …  runs COMMAND in that environment: ./run issuance --help
./test ARGS …    runs the tests; ARGS are pytest's"""

#: Programs of the clone that start servers of their own.
CAMPAIGNS = {
    "bench": "benchmarks",
    "simulate": "campaigns.simulation",
    "crashes": "campaigns.crashes",
    "chaos": "campaigns.chaos",
}


def main(arguments: list[str]) -> int:
    from issuance.embedded import command  # late: whoever presses Ctrl-C meanwhile is told in a line, as ever

    match arguments:
        case ["test", *rest]:
            return command.on_own_servers("pytest", rest)
        case ["run"] | ["run", "up"] | ["run", "issuance", "up"]:
            from issuance.embedded import up

            return up.up()
        case ["run", "-h" | "--help"]:
            print(USAGE)
            return 0
        case ["run", "demo", *rest] | ["run", "issuance", "demo", *rest]:
            from issuance.embedded import up

            return up.demo(rest)
        case ["run", "sabotage", *rest]:
            return command.on_own_servers("campaigns.sabotage", rest)
        case ["run", name, *rest] if name in CAMPAIGNS:
            command.campaign(CAMPAIGNS[name], rest)
        case ["run", *rest]:
            return command.in_environment(rest)
    print(USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    # SIGTERM raises an exception, so that everything this process started is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        sys.exit(main(sys.argv[1:]))
    except IssuanceError as error:
        print(f"issuance: {error.message}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        said = f"{error.strerror or error}: {error.filename or 'no file'}"
        if error.errno in (errno.EROFS, errno.EACCES, errno.ENOSPC):
            from issuance import settings

            said = not_written(error, settings.read(settings.OwnSettings).home)
        print(f"issuance: {said}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("issuance: stopped", file=sys.stderr)
        sys.exit(130)
