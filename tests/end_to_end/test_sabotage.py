"""A share of `./run sabotage`: every patch still fits the code, and the tests notice what is taken out."""

from pathlib import Path

import pytest

from campaigns.sabotage import guards
from campaigns.sabotage.campaign import REPO, Copy
from campaigns.sabotage.guards import DoesNotApply, Edit, Guard

GUARDS = guards.read()
#: Taken out for real.
SHARE = ("conflict-is-named",)


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_a_guard_stands_where_its_patch_says(guard: Guard) -> None:
    """What is taken out is there once, what is left is Python, and the tests that must notice exist."""
    for file, patched in guard.patched(REPO).items():
        if file.endswith(".py"):
            compile(patched, file, "exec")
    for test in guard.tests:
        path, _, name = test.partition("::")
        assert (REPO / path).exists()
        assert f"def {name}(" in (REPO / path).read_text() if name else True


def test_a_patch_that_fits_no_more_is_an_error() -> None:
    """The list can not rot unseen."""
    gone = Guard("gone", "Something.", (Edit("schema.sql", "what is not there", ""),), ("tests",))
    with pytest.raises(DoesNotApply, match="follow the code"):
        gone.patched(REPO)


def test_a_copy_runs_its_own_code_and_is_whole_again(given: object, tmp_path: Path) -> None:
    """Tests there fail without a guard, and pass again; nothing of the original tree changes."""
    copy = Copy(tmp_path.resolve())
    some = [GUARDS[name] for name in SHARE]
    before = [guard.patched(REPO) for guard in some]
    for guard in some:
        with copy.without(guard):
            verdict = copy.test(guard.tests)
        assert verdict.caught, verdict.output
    whole = copy.test(guards.selection(some))
    assert whole.passed, whole.output
    assert [guard.patched(REPO) for guard in some] == before
