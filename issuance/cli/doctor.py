"""`issuance doctor`: what an operator would look at first, said in plain lines."""

import typer

from issuance.cli import diagnoses
from issuance.cli.output import JsonOption, say, show_json
from issuance.settings import settings

_MARKS = {"ok": "ok   ", "look": "look ", "wrong": "WRONG"}


def doctor(as_json: JsonOption = False) -> None:
    """Look at settings, servers, clocks, disks and processes, and say what is wrong.

    It reads, and writes one key to Redis that it deletes at once. Exits 1 if something is wrong; what is to be looked
    at may be as you want it.
    """
    own = settings()
    findings = [finding for look in diagnoses.LOOKS for finding in look(own)]
    wrong = any(finding.state == "wrong" for finding in findings)
    if as_json:
        show_json({"well": not wrong, "findings": [finding._asdict() for finding in findings]})
    else:
        for finding in findings:
            say(f"{_MARKS[finding.state]}  {finding.about}: {finding.says}")
            if finding.do:
                say(f"       → {finding.do}")
    if wrong:
        raise typer.Exit(1)
