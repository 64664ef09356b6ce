"""Text that people read: what would steer a terminal, or hide or turn around what is written, is shown and not obeyed.

Names, references and errors hold whatever a stranger wrote. All that goes to a terminal or to a log for people passes
here.
"""

import re
import unicodedata

#: Control, surrogate and unassigned characters, and breaks of lines; of the formatting ones all but those below.
_STEERING = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
#: Where a spreadsheet would take what follows for a formula: at the beginning of a cell, and within it after what some
#: take for the cell's end. Signs of full width count too.
_FORMULA = re.compile(r"^(?=[=+\-@\uff1d\uff0b\uff0d\uff20\t\n])|(?<=[;\t\n])(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
#: Joiners of letters, which names are written with, and the soft hyphen.
_HARMLESS = frozenset("\u200c\u200d\u00ad")


def shown(text: str, *, keep: str = "") -> str:
    """The text in one line, with such characters written as Python writes them: `\\x1b`, `\\u202e`. `keep`: those that
    the text may have."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(letter) if _steers(letter) and letter not in keep else letter for letter in text)


def shown_json(text: str) -> str:
    """A JSON document with such characters written as JSON writes them: it says the same. Line breaks between its
    parts stay; within strings there are none."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(_in_json(letter) if ord(letter) > 0x7E and _steers(letter) else letter for letter in text)


def in_a_cell(text: str) -> str:
    """The text of a cell of a CSV file, such that no spreadsheet takes it for a formula, and nothing in it steers.
    Lines stay lines."""
    return _FORMULA.sub("'", shown(text.replace("\r\n", "\n"), keep="\n\t"))


def number(of: int, one: str, more: str) -> str:
    """A number with what it is of, as people say it: `1 credit is`, `2 credits are`."""
    return f"{of} {one if of == 1 else more}"


def _steers(letter: str) -> bool:
    return unicodedata.category(letter) in _STEERING and letter not in _HARMLESS


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def _in_json(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
