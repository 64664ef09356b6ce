"""`issuance schema`: the tables of schema.sql, and whether the database has them."""

import typer

from issuance.cli.output import JsonOption, answer, say, show_json
from issuance.database import schema
from issuance.settings import settings

app = typer.Typer(help="The tables of schema.sql: apply them, compare them.", no_args_is_help=True)


@app.command("apply")
def apply_schema(as_json: JsonOption = False) -> None:
    """Create what is missing in DATABASE_URL. It may be run again at any time."""
    schema.apply(settings().database_url)
    answer("The database has the tables of schema.sql.", {"applied": True}, as_json=as_json)


@app.command("diff")
def diff(as_json: JsonOption = False) -> None:
    """Compare DATABASE_URL with schema.sql; exit 1 if they differ."""
    differences = schema.diff(settings().database_url)
    if as_json:
        show_json({"differences": differences})
    elif differences:
        for difference in differences:
            say(difference)
    else:
        say("No difference.")
    if differences:
        raise typer.Exit(1)
