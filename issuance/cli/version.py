"""`issuance version`."""

from issuance import __version__
from issuance.cli.output import JsonOption, answer


def version(as_json: JsonOption = False) -> None:
    """Print the version."""
    answer(__version__, {"version": __version__}, as_json=as_json)
