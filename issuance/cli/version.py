"""`issuance version`."""

from issuance import __version__
from issuance.cli.output import JsonOption, say, show_json


def version(as_json: JsonOption = False) -> None:
    """Print the version."""
    if as_json:
        show_json({"version": __version__})
    else:
        say(__version__)
