"""What `issuance doctor` finds: about settings, PostgreSQL, the broker, the processes and this machine. Each part is
asked by itself, so that one that is away hides no other. It writes nothing except a key in the broker, for a moment."""

from collections.abc import Callable, Iterator

from issuance.cli.diagnoses.broker import of_broker
from issuance.cli.diagnoses.findings import Finding
from issuance.cli.diagnoses.here import of_machine, of_settings
from issuance.cli.diagnoses.postgresql import of_postgresql
from issuance.cli.diagnoses.processes import of_processes
from issuance.cli.diagnoses.sealed import of_secrets
from issuance.settings import Settings

LOOKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    of_settings,
    of_postgresql,
    of_secrets,
    of_broker,
    of_processes,
    of_machine,
)
