"""The command line `issuance`. Each command has a module, which calls the same functions as the API.

People get tables; with `--json` a command prints one JSON document.
"""
