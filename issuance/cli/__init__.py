"""The command line `issuance`: a module for each command, which calls the same functions as the API.

People get tables; with `--json` a command prints one JSON document.
"""
