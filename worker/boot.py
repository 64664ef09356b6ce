"""What a worker process looks at as it starts."""

import sys

import dramatiq

from issuance.database.connections import check_schema, engine_for
from issuance.errors import SchemaAhead, SchemaBehind
from issuance.settings import settings


class SchemaCheck(dramatiq.Middleware):
    """Ends the process, in one line, where it can not work with the database's schema."""

    def after_process_boot(self, broker: dramatiq.Broker) -> None:  # noqa: ARG002 - dramatiq's
        try:
            check_schema(engine_for(settings().database_url))
        except (SchemaAhead, SchemaBehind) as error:
            sys.exit(error.message)
