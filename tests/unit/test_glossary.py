"""The glossary has the words of the field and few of the engine's own, and the code uses no others."""

import ast
import re

from issuance.billing.event_data import DATA_OF
from tests.unit.pages import DOCS, GLOSSARY, REPO, section

GLOSSARY_TABLES = ("## The field's words", "## The engine's own words")
#: The words that a row of the glossary explains.
ENTRY = r"^\| (\*\*.*?) \| "


def test_the_glossary_has_the_fields_words_and_few_of_its_own() -> None:
    """Every word that SEMANTICS 1 defines is in it; the engine adds at most fifteen; no word is there twice."""
    defined = re.findall(r"^\| (\w.*?) \| ", section(DOCS / "semantics.md", "## 1."), re.MULTILINE)[1:]
    of_the_contract = {word for cell in defined for word in re.sub(r" \(.*\)", "", cell).split(", ")}
    of_the_field, its_own = (
        re.findall(r"\*\*(.+?)\*\*", "".join(re.findall(ENTRY, section(GLOSSARY, heading), re.MULTILINE)))
        for heading in GLOSSARY_TABLES
    )
    assert of_the_contract <= set(of_the_field)
    assert 0 < len(its_own) <= 15
    assert len({*of_the_field, *its_own}) == len(of_the_field) + len(its_own)


#: Where names of modules and classes are held to the glossary.
NAMED_BY_THE_GLOSSARY = ("issuance/engine", "issuance/deciding", "worker", "scheduler")
#: Words that were names there once, and went.
GONE = """
    due cohort shape alike walk walking turn stroke effect sharing remembering telling writing working piecewise
"""
#: Words of names there that are not in the glossary, because they mean what they mean anywhere: nouns, words that stand
#: beside one, and what happened or is done where one might look for a noun.
PLAIN = """
    ahead announcement archiving arrival automatic bisection book busy change coverage end field history interval kind
    limit listing message model moment move payment process queue range recognition row search size span task tick use
    writer anything counting every issuing its given look new own rabbitmq read trust work
    flagged happened listed meant outstanding planned raced recognised tell told updating used waiting worked
"""


def test_modules_and_classes_use_the_glossarys_words() -> None:
    """Each word of such a name is the glossary's (one or many), an event type's, or a plain one."""
    cells = [
        cell for heading in GLOSSARY_TABLES for cell in re.findall(ENTRY, section(GLOSSARY, heading), re.MULTILINE)
    ]
    gone, plain = set(GONE.split()), set(PLAIN.split())
    known = set(re.findall(r"[a-z]+", " ".join([*cells, *DATA_OF]).lower()))
    used = _words_of_names(NAMED_BY_THE_GLOSSARY)
    assert {word: names for word, names in used.items() if word not in _one_or_many(known | plain)} == {}
    assert [word for word in sorted(plain) if used.keys().isdisjoint(_one_or_many({word}))] == [], "no name has it now"
    assert plain.isdisjoint(known | gone)
    assert known.isdisjoint(gone)


def test_no_word_comes_back_that_went() -> None:
    """No module and no class anywhere in the program has it in its name."""
    gone = _one_or_many(set(GONE.split()))
    used = _words_of_names(("issuance", "worker", "scheduler"))
    assert {word: names for word, names in used.items() if word in gone} == {}


def _words_of_names(folders: tuple[str, ...]) -> dict[str, set[str]]:
    """The words of which names of modules and classes are made, and which names those are."""
    used: dict[str, set[str]] = {}
    for folder in folders:
        for path in (REPO / folder).rglob("[!_]*.py"):
            classes = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
            for name in [path.stem, *classes]:
                for word in re.findall(r"[A-Z]?[a-z]+", name):
                    used.setdefault(word.lower(), set()).add(f"{path.relative_to(REPO)}: {name}")
    return used


def _one_or_many(words: set[str]) -> set[str]:
    return {form for word in words for form in (word, f"{word}s", f"{word}es", f"{word.removesuffix('y')}ies")}
