"""What strangers wrote is shown to people, never obeyed by their terminals."""

import html
import json
import re
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuance.api import problems
from issuance.cli.output import as_cell
from issuance.console import rendering
from issuance.shown import in_a_cell, shown, shown_json

STEERING = {
    "escape": "\x1b[31mred",
    "c1": "\x9b31mred",
    "clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "link": "\x1b]8;;https://evil.example\x1b\\Ada\x1b]8;;\x1b\\",
    "turned around": "Ada\u202egnp.exe",
    "isolated": "\u2066Ada\u2069",
    "line": "Ada\u2028Bea",
    "paragraph": "Ada\u2029Bea",
    "break": "Ada\r\nissued  Bea",
    "backspace": "Bea\b\b\bAda",
    "invisible": "A\u200bd\u2060a\ufeff",
    "tags": "Ada\U000e0041",
    "half": "\ud800",
    "delete": "Ada\x7f",
}
HARMLESS = ["Ada Lovelace", "Zoë", "李小龍", "نرگس\u200cها", "👩\u200d🚀", "O\u00a0Brien", "a\\x1b"]


def obeyed(text: str) -> list[str]:
    """The letters of a text that a terminal would act upon."""
    return [letter for letter in text if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or letter == "\u202e"]


@pytest.mark.parametrize("text", STEERING.values(), ids=STEERING)
def test_what_steers_is_written_out(text: str) -> None:
    """Whoever reads it sees that it is there, in tables too."""
    for told in (shown(text), as_cell(text), as_cell([text]), as_cell({text: text})):
        assert obeyed(told) == []
        assert "\\" in told


@pytest.mark.parametrize("text", STEERING.values(), ids=STEERING)
def test_a_cell_of_a_file_steers_nothing(text: str) -> None:
    """Files are read in spreadsheets and on terminals, by people both times. Lines stay lines, however they end."""
    assert obeyed(in_a_cell(text).replace("\n", "")) == []
    assert in_a_cell("one\r\ntwo\tthree") == "one\ntwo\tthree"


@pytest.mark.parametrize("sign", "=+-@\t\n\uff1d\uff0b\uff0d\uff20")
def test_a_cell_of_a_file_is_no_formula(sign: str) -> None:
    """By the signs that OWASP lists."""
    assert in_a_cell(f"{sign}1+1") == f"'{sign}1+1"


@pytest.mark.parametrize("text", HARMLESS)
def test_names_of_all_languages_stay_as_they_are(text: str) -> None:
    """Joiners of letters too, without which some can not be written."""
    assert shown(text) == text


@given(st.text(st.characters(codec=None), max_size=20))
def test_nothing_steers_whatever_was_written(text: str) -> None:
    """Of all letters that there are; JSON says the same as before."""
    assert obeyed(shown(text)) == []
    document = json.dumps({text: text}, ensure_ascii=False, indent=2)
    told = shown_json(document)
    assert obeyed(told.replace("\n", "")) == []
    assert json.loads(told) == json.loads(document)


_LOGS = """
from issuance import log
log.set_up({log_format!r}, "info")
try:
    raise ValueError({text!r})
except ValueError:
    log.logger.exception("failed", name={text!r})
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_logs_steer_nothing(log_format: str) -> None:
    """Neither by a value nor by an error's text."""
    text = "".join(STEERING.values()).replace("\ud800", "")
    program = [sys.executable, "-c", _LOGS.format(log_format=log_format, text=text)]
    printed = subprocess.run(program, capture_output=True, text=True, check=True, encoding="utf-8").stderr
    assert obeyed(printed.replace("\n", "")) == []
    assert "clip" not in printed
    assert printed.count("52;c;cm0gLXJm") >= 2


@pytest.mark.parametrize("text", STEERING.values(), ids=STEERING)
def test_neither_pages_nor_errors_steer(text: str) -> None:
    """Whatever a page of the console is made of, wherever it stands; lines stay lines, and a form sends back what was
    typed. An error of the API says what is wrong with a name without it."""
    page = rendering.environment().from_string(
        "<p>{{ text }}</p>{% set kept %}<b>{{ text }}</b>{% endset %}{{ kept }}{{ [text]|join(', ') }}"
    )
    made = page.render(text=text)
    assert obeyed(re.sub("[\r\n\t]", "", made)) == []
    assert "<b>" in made
    assert rendering.environment().from_string("{{ text|as_typed }}").render(text=text) == html.escape(text)
    answer = json.loads(bytes(problems.answer("/customers", 422, "invalid", text, {text: text}).body))["error"]
    assert obeyed("".join([answer["message"], *answer["fields"], *answer["fields"].values()])) == []


@pytest.mark.parametrize("sign", "=+-@\uff1d\uff0b\uff0d\uff20")
@pytest.mark.parametrize("end", ";\t\n")
def test_no_formula_stands_after_what_some_take_for_a_cells_end(sign: str, end: str) -> None:
    """Such as a semicolon, where a comma is a decimal's. What is no formula stays as it is."""
    assert in_a_cell(f"Ada{end}{sign}1+1;") == f"Ada{end}'{sign}1+1;"
    for text in ("Ada; Bea", "1-2", "a@b.example", f"Mon{end}Tue", f"a{end}{end}b", ""):
        assert in_a_cell(text) == text
