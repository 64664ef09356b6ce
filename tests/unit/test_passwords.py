"""New passwords: which are refused, and that to judge one is little work, whatever it is made of."""

from typing import Any

import pytest
import zxcvbn
from zxcvbn.matching import L33T_TABLE, enumerate_l33t_subs, relevant_l33t_subtable

from issuance.errors import Invalid
from issuance.people import passwords

#: The worst that were found of so many different letters that others may stand for, and an ordinary one.
AMBIGUOUS = ("1|", "+17|", "+17[{|", "!+147@|", "!(+157<@[|", "!(+14679@[{|", "4@8({[<369&#!1/|0$5+7%2", "1234567890")
#: Words of the dictionary that are looked for: readings, times beginnings and ends. Some 40 ms.
MOST_WORK = 10_000


@pytest.mark.parametrize("letters", AMBIGUOUS)
@pytest.mark.parametrize("between", ["", "a", "password", "correct horse battery staple "])
def test_to_judge_a_password_is_little_work(letters: str, between: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library is shown has few readings where it is long, and is short where it has many."""
    shown: list[str] = []

    def judge(password: str, own: list[str]) -> dict[str, Any]:
        shown.append(password)
        return {"score": passwords.LEAST_SCORE}

    monkeypatch.setattr(zxcvbn, "zxcvbn", judge)
    passwords.prepare((between.join([*letters, ""]) * 100)[: passwords.LONGEST], "ada@example.com")
    readings = len(enumerate_l33t_subs(relevant_l33t_subtable(shown[0], L33T_TABLE)))
    assert readings * len(shown[0]) * (len(shown[0]) + 1) / 2 <= MOST_WORK


@pytest.mark.parametrize(
    "good",
    [
        "correct horse battery",
        "kqz4!Vw(9$x@b1|7",
        "4@8({[<369&#!1/|0$5+7%2",
        "der Zug um 7:43 hielt nie",
        "x9-Kf2-Lm8-Qr4",
        "1112\nkqz4!Vw(9$x",
    ],
)
def test_a_password_that_nobody_guesses_is_kept(good: str) -> None:
    assert passwords.prepare(good, "ada@example.com").startswith("$argon2id$")


@pytest.mark.parametrize(
    "weak",
    ["p@ssw0rdp@ssw0rd", "123456789012345678", "aaaaaaaaaaaaaaaaaaaaaaaaa", "ada@example.com", "Issuance2031", "short"],
)
def test_a_password_that_is_guessed_easily_is_refused(weak: str) -> None:
    """Words with figures for letters, rows, one's own address, the name of the house; and short ones."""
    with pytest.raises(Invalid, match=r"easily|12 to 200"):
        passwords.prepare(weak, "ada@example.com")
