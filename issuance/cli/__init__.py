"""The command line: a thin face over the same functions as the API. People get tables, `--json` one JSON document."""
