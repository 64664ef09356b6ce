"""The product that is measured: a checkout of it and the Python that runs it.

The benchmark is always today's. It drives a checkout from outside, by its command line and its processes, so that an
older commit is measured in the same way.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from issuance.embedded.environment import REPO

_REQUIREMENTS = Path("requirements/run.txt")


class NoSuchCommit(Exception):
    """The repository has no such commit."""


@dataclass(frozen=True)
class Checkout:
    """A folder with the sources, and the interpreter of an environment that has what they need."""

    root: Path
    python: Path

    def environment(self, database_url: str, redis_url: str) -> dict[str, str]:
        """What its programs find in their environment."""
        # Before the working tree, which the benchmark's own PYTHONPATH names.
        paths = [str(self.root), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **os.environ,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PATH": os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join(paths),
        }

    def issuance(self, database_url: str, redis_url: str, *arguments: str) -> str:
        """What its command `issuance` prints. Raises RuntimeError with its last words when it fails."""
        done = subprocess.run(
            [str(self.python), "-m", "issuance.cli", *arguments],
            cwd=self.root,
            env=self.environment(database_url, redis_url),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"issuance {' '.join(arguments)}: {(done.stderr or done.stdout).strip()[-300:]}")
        return done.stdout


WORKING_TREE = Checkout(REPO, Path(sys.executable))


def full_name(commit: str) -> str:
    """The hash of a commit that is named in any way git knows. Raises NoSuchCommit."""
    done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    if done.returncode != 0:
        raise NoSuchCommit(commit)
    return done.stdout.decode().strip()


def of_commit(commit: str, home: Path) -> Checkout:
    """A commit's sources below `home`, with an environment of its own where it needs other packages."""
    root = home / "checkouts" / commit
    if not root.exists():
        half = root.with_suffix(".half")
        with tarfile.open(fileobj=io.BytesIO(_git("archive", commit).stdout)) as sources:
            sources.extractall(half, filter="data")
        half.rename(root)
    if (root / _REQUIREMENTS).read_bytes() == (REPO / _REQUIREMENTS).read_bytes():
        return Checkout(root, WORKING_TREE.python)
    return Checkout(root, _own_python(root, home))


def _own_python(root: Path, home: Path) -> Path:
    """The interpreter of the environment that the checkout's own `./run` makes."""
    pins = hashlib.sha256((root / _REQUIREMENTS).read_bytes()).hexdigest()[:12]
    # Addresses that nobody asks anything of: `./run` starts no servers then.
    addresses = {"DATABASE_URL": "postgresql://none", "REDIS_URL": "redis://none"}
    done = subprocess.run(
        [str(root / "run"), "sh", "-c", "command -v python"],
        env={**os.environ, **addresses, "ISSUANCE_HOME": str(home / "environments" / pins)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())


def _git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["git", "-C", str(REPO), *arguments], capture_output=True, check=False)
