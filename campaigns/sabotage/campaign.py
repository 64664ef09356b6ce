"""A copy of the tree with one guard less, and the tests that must notice, on real servers."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

from campaigns.sabotage.guards import Guard

REPO = Path(__file__).parents[2]
#: A selection takes seconds. One that does not end shows nothing.
PATIENCE_SECONDS = 300
_LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".issuance", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info", ".venv", "venv", "node_modules"
)
_NOTICED = re.compile(r"^FAILED (\S+)", re.MULTILINE)
_WHERE_FROM = "import issuance, scheduler, worker; print(issuance.__file__, scheduler.__file__, worker.__file__)"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tests said: which of them failed, and all of their output."""

    code: int
    failed: tuple[str, ...]
    output: str

    @property
    def passed(self) -> bool:
        return self.code == 0

    @property
    def caught(self) -> bool:
        """Whether a test failed. If none could be run, nothing was caught: the edit is broken, not the product."""
        return self.code == 1 and bool(self.failed)


class Copy:
    """A copy of the tree that runs its own code: it imports nothing of the original and nothing that is installed."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        shutil.copytree(REPO, self.tree, ignore=_LEFT_BEHIND)
        asked = [sys.executable, "-c", _WHERE_FROM]
        found = subprocess.run(
            asked, cwd=self.tree, env=self._environment(), capture_output=True, text=True, check=True
        )
        strange = [path for path in found.stdout.split() if not Path(path).is_relative_to(self.tree.resolve())]
        if strange:
            raise RuntimeError(f"the copy would run {strange[0]} instead of its own code")

    @contextmanager
    def without(self, guard: Guard) -> Iterator[None]:
        """The tree without a guard; whole again at the end."""
        patched = guard.patched(self.tree)
        whole = {file: (self.tree / file).read_text() for file in patched}
        try:
            self._write(patched)
            yield
        finally:
            self._write(whole)

    def test(self, selection: Sequence[str], *, first_only: bool = True) -> Verdict:
        """Run tests in the tree, up to the first that fails."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(["-x"] if first_only else [])]
        tests = subprocess.Popen(
            [*command, *selection],
            cwd=self.tree,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        try:
            output, _ = tests.communicate(timeout=PATIENCE_SECONDS * (1 if first_only else 4))
        except subprocess.TimeoutExpired:
            os.killpg(tests.pid, signal.SIGKILL)
            return Verdict(-1, (), tests.communicate()[0] + "\nno end in time")
        except BaseException:
            tests.send_signal(signal.SIGINT)  # its fixtures take down what they started
            tests.wait()
            raise
        return Verdict(tests.returncode, tuple(_NOTICED.findall(output)), output)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.tree), "COLUMNS": "200"}

    def _write(self, texts: Mapping[str, str]) -> None:
        for file, text in texts.items():
            path = self.tree / file
            path.write_text(text)
            # Python knows a changed file by its time in seconds and its size: both may be as before.
            if path.suffix == ".py":
                Path(cache_from_source(str(path))).unlink(missing_ok=True)
