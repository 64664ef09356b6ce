"""What an error says to people outside: never SQL, values of rows or links, which drivers put into their texts."""

import psycopg.errors

from issuance.errors import IssuanceError


def in_short(error: BaseException) -> str:
    """What went wrong, in a few words that may be shown to a brand."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, psycopg.errors.InsufficientPrivilege):  # its words name a table, and nothing that is in it
        return f"PostgreSQL: {cause.diag.message_primary}. The rights that processes need: docs/installing.md"
    if isinstance(cause, psycopg.Error):
        broken = cause.diag.constraint_name
        return f"PostgreSQL: {type(cause).__name__}{f' of {broken}' if broken else ''}"
    if isinstance(cause, IssuanceError):
        return cause.message
    return type(cause).__name__
