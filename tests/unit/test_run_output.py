"""What `./run` keeps of its processes' lines: one format, one file, not for ever."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from issuance.embedded.environment import REPO
from issuance.embedded.output import LogFile, Output
from tests.limits import Limit

#: Runs a module as a program. Ctrl-C is pressed when it comes to import what the first argument names.
_PRESSED = """
import runpy, sys
class Pressed:
    def find_spec(self, name, *_):
        if name == sys.argv[0]:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Pressed())
_, asked, module, *sys.argv[1:] = sys.argv
sys.argv[0] = asked
runpy.run_module(module, run_name="__main__")
"""


def test_lines_are_named(tmp_path: Path) -> None:
    """Each once, in the order in which they came; a file that is there goes on."""
    for part in ("first", "second"):
        with LogFile(tmp_path / "run.log") as log:
            shown = Output(log, {"web": "", "scheduler": ""})  # type: ignore[arg-type]  # it has what is needed of a file
            shown.write("web", f"{part} %s \udcff")
            shown.write("scheduler", part)
    assert (tmp_path / "run.log").read_text().splitlines() == [
        "web       | first %s \\udcff", "scheduler | first", "web       | second %s \\udcff", "scheduler | second",
    ]  # fmt: skip


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_is_steered_by_names_alone(monkeypatch: pytest.MonkeyPatch, no_color: str) -> None:
    """They have colours, unless somebody wants none; what a process says is shown and not obeyed."""
    monkeypatch.setenv("NO_COLOR", no_color)
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    Output(terminal, {"web": ""}).write("web", "\x1b]52;c;cm0=\x07\tAda\u202e")
    name = "web" if no_color else "\x1b[36mweb\x1b[0m"
    assert terminal.getvalue() == f"{name} | \\x1b]52;c;cm0=\\x07\tAda\\u202e\n"


def test_json_stays_json() -> None:
    """Lines that are none, such as what Python says when it can not start, become some."""
    stream = io.StringIO()
    shown = Output(stream, {"web": ""}, as_json=True)
    shown.write("web", '{"event": "request"}')
    shown.write("web", "No module named x")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first == {"event": "request"}
    assert (second["event"], second["process"], second["level"]) == ("No module named x", "web", "error")


def test_a_long_log_is_put_aside(tmp_path: Path, limit: Limit) -> None:
    """One is kept beside it."""
    limit("embedded", longest_log=200)
    with LogFile(tmp_path / "run.log") as log:
        for number in range(100):
            log.write(f"line {number}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.log", "run.log.1"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 400
    assert (tmp_path / "run.log").read_text().endswith("line 99\n")


@pytest.mark.parametrize("imported", ["issuance.embedded.up", "psycopg", "sqlalchemy", "httpx"])
def test_ctrl_c_while_it_starts_is_one_line(imported: str) -> None:
    """Whatever is being imported then."""
    command = [sys.executable, "-c", _PRESSED, imported, "issuance.embedded", "run"]
    ran = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "issuance: stopped\n")
