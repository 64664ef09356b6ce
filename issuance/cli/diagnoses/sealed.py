"""Whether secrets in the database are encrypted, and with a key that is given here."""

from collections.abc import Iterator

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from issuance import database
from issuance.cli.diagnoses.findings import Finding
from issuance.errors import SchemaAhead, SchemaBehind
from issuance.settings import Settings
from issuance.shown import number
from issuance.tenancy import sealing


def of_secrets(own: Settings) -> Iterator[Finding]:
    """Secrets that are encrypted though no key is given here, and those that are not though one is."""
    try:
        with database.transaction(database.engine_for(own.database_url)) as connection:
            kept = sealing.kept(connection)
    except (SchemaBehind, SchemaAhead, SQLAlchemyError, psycopg.Error):
        return  # of_postgresql has said why
    given = own.sealing_key is not None or own.sealing_key_file is not None
    if kept.encrypted and not given:
        do = "set ISSUANCE_SEALING_KEY for this command too, as the processes have it"
        yield Finding("secrets", "wrong", "secrets in the database are encrypted, and no sealing key is given here", do)
    elif kept.plain and given:
        plain = number(kept.plain, "secret is", "secrets are")
        do = "give or rotate each anew: docs/security.md, what a dump reveals"
        yield Finding("secrets", "look", f"{plain} kept as before there was a sealing key: a dump reveals them", do)
