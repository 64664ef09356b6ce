"""A share of `./run sabotage`: a guard is taken out of a copy for real, and its tests notice."""

from pathlib import Path

from campaigns.sabotage import guards
from campaigns.sabotage.campaign import REPO, Copy

#: Taken out for real.
SHARE = ("no-silent-loss",)


def test_a_copy_runs_its_own_code_and_is_whole_again(given: object, tmp_path: Path) -> None:
    """Tests there fail without a guard, and pass again; nothing of the original tree changes."""
    known = guards.read()
    copy = Copy(tmp_path.resolve())
    some = [known[name] for name in SHARE]
    before = [guard.patched(REPO) for guard in some]
    for guard in some:
        with copy.without(guard):
            verdict = copy.test(guard.tests)
        assert verdict.caught, verdict.output
    whole = copy.test(guards.selection(some))
    assert whole.passed, whole.output
    assert [guard.patched(REPO) for guard in some] == before
