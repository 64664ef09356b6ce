"""Histories kept in files, so that what failed once is a test for good."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

from campaigns.model.histories import History
from campaigns.model.words import Fact, Guest, Op
from campaigns.simulation.processes import Fault

FOLDER = Path(__file__).parent / "kept"
VALUES: dict[str, type] = {"fact": Fact, "guest": Guest, "op": Op, "fault": Fault}


def keep(history: History, folder: Path = FOLDER) -> str:
    """Writes it into the folder; the file's name."""
    path = folder / f"seed-{history.seed}.json"
    head = {"seed": history.seed, "timezone": history.timezone, "start": _said(history.start)}
    ops = ",\n ".join(json.dumps(_said(op)) for op in history.ops)
    path.write_text(f'{json.dumps(head)[:-1]}, "ops": [\n {ops}\n]}}\n')
    return path.name


def kept(path: Path) -> History:
    said = json.loads(path.read_text())
    ops = tuple(_meant(op) for op in said["ops"])
    return History(said["seed"], said["timezone"], _meant(said["start"]), ops)


def _said(value: Any) -> Any:
    for name, kind in VALUES.items():
        if isinstance(value, kind):
            return {name: {each.name: _said(getattr(value, each.name)) for each in fields(kind)}}
    if isinstance(value, dict):
        return {name: _said(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_said(each) for each in value]
    if isinstance(value, datetime):
        return {"instant": value.isoformat()}
    return {"date": value.isoformat()} if isinstance(value, date) else value


def _meant(value: Any) -> Any:
    if isinstance(value, list):
        return [_meant(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, inner),) = value.items()
        if name in VALUES and isinstance(inner, dict):
            return VALUES[name](**{field: _meant(each) for field, each in inner.items()})
        if name == "instant":
            return datetime.fromisoformat(inner)
        if name == "date":
            return date.fromisoformat(inner)
    return {name: _meant(each) for name, each in value.items()}
