"""`python -m issuance.api.trial`: whether a web process could begin its work now; if not, exit 1 and a line says why.

It is run before working processes are told to make room for new ones."""

import importlib
import sys

from issuance.database import check_schema, engine_for
from issuance.errors import SchemaAhead, SchemaBehind, SettingsError
from issuance.settings import settings


def main() -> None:
    """Read the settings, load the code, look at the schema. That PostgreSQL is away is no reason to refuse."""
    try:
        own = settings()
        importlib.import_module("issuance.api.app")
        check_schema(engine_for(own.database_url))
    except (SettingsError, SchemaAhead, SchemaBehind) as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
