"""Makes the Python environment of `./run` and `./test`, and then becomes the program that was asked for.

It runs before anything is installed: it uses the standard library only, and is started by its path.
"""

import errno
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

REPO = Path(__file__).resolve().parents[2]
REQUIREMENTS = {"run": REPO / "requirements/run.txt", "test": REPO / "requirements/dev.txt"}
#: Commands of `./run` that need the packages of the tests.
RUN_TESTS = ("sabotage", "crashes", "chaos")
#: What every program says where the disk is full.
NO_ROOM = "No space left on device"
#: The command line, by its module: its console script may not be there.
ISSUANCE = [sys.executable, "-c", "import sys; sys.argv[0] = 'issuance'; from issuance.cli.main import main; main()"]
# What `pip install` of the project itself would make; the project is imported from the clone instead.
COMMAND = """#!/bin/sh
'''exec' {python} "$0" "$@"
' '''
import sys
sys.path.insert(0, {repo!r})
from issuance.cli.main import main
sys.exit(main())
"""


class Environment:
    """The folder with the pinned packages. It is complete if it has a stamp; one without a stamp is made again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "venv"
        self.log = home / "pip.log"
        self.stamp = self.folder / "stamp.json"

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Where the packages go if Python can not make a venv."""
        return self.folder / "packages"

    def installed(self) -> dict[str, str]:
        """Which requirements were installed, by the stamp. Empty without a stamp, or if it is of another Python."""
        try:
            stamp: dict[str, str] = json.loads(self.stamp.read_text())
            # The interpreter itself is asked, since an upgrade of the system's Python may have removed it.
            return stamp if stamp.pop("python") == self.version() else {}
        except (OSError, ValueError, KeyError):
            return {}

    def ensure(self, wanted: str) -> None:
        """Installs the requirements of `wanted` unless they are installed already."""
        pins = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in REQUIREMENTS.items()}
        if self.installed().get(wanted) == pins[wanted]:
            return
        with only_one(self.home / "environment.lock"):
            installed = self.installed()
            if installed.get(wanted) == pins[wanted]:
                return
            say(f"installing the Python packages into {self.folder} (once, about half a minute) …")
            if not installed:
                self.create()
            self.stamp.unlink(missing_ok=True)
            self.install(REQUIREMENTS[wanted])
            # The requirements of the tests include the others.
            installed |= {name: pins[name] for name in (REQUIREMENTS if wanted == "test" else [wanted])}
            self.write_command()
            half = self.stamp.with_suffix(".half")
            half.write_text(json.dumps({**installed, "python": self.version()}))
            half.rename(self.stamp)

    def version(self) -> str:
        command = [str(self.python), "-I", "-S", "-c", "import sys; print(sys.version)"]
        return str(subprocess.run(command, capture_output=True, text=True, check=False).stdout).strip()

    def create(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        # Without pip, since Debian's Python may lack `ensurepip`; the pip outside can install into it.
        made = self.call([sys.executable, "-m", "venv", "--without-pip", str(self.folder)])
        if made.returncode != 0 or not self.python.exists():
            # Without a venv: a plain folder of packages, and a `python` that finds them.
            shutil.rmtree(self.folder, ignore_errors=True)
            self.python.parent.mkdir(parents=True)
            self.python.write_text(
                f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(self.packages))}"${{PYTHONPATH:+:$PYTHONPATH}}" '
                f'exec {shlex.quote(sys.executable)} "$@"\n'
            )
            self.python.chmod(0o755)

    def install(self, requirements: Path) -> None:
        venv = (self.folder / "pyvenv.cfg").exists()
        if self.call([sys.executable, "-m", "pip", "--version"]).returncode == 0:
            pip = [sys.executable, "-m", "pip", *(["--python", str(self.python)] if venv else [])]
        elif venv and self.call([str(self.python), "-m", "ensurepip"]).returncode == 0:
            pip = [str(self.python), "-m", "pip"]
        else:
            fail(f"{sys.executable} has no pip; install it (python3-pip on Debian) and run again")
        options = ["--require-hashes", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
        target = [] if venv else ["--target", str(self.packages), "--upgrade"]
        done = self.call([*pip, "install", *options, *target, "-r", str(requirements)])
        if done.returncode != 0:
            errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR: ")] or ["pip failed"]
            what_to_do = "check the network or pip's configuration, then run again"
            if NO_ROOM in done.stdout:
                what_to_do = make_room(self.home)
            elif "Failed to establish a new connection" in done.stdout or "NewConnectionError" in done.stdout:
                errors = ["the package index does not answer"]
            fail(f"{errors[-1].removeprefix('ERROR: ')}; {what_to_do} (all of it: {self.log})")
        for program in self.packages.glob("bin/*"):
            with suppress(FileExistsError):
                self.python.with_name(program.name).symlink_to(program)

    def write_command(self) -> None:
        command = self.python.with_name("issuance")
        command.write_text(COMMAND.format(python=shlex.quote(str(self.python)), repo=str(REPO)))
        command.chmod(0o755)

    def call(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        # A user's own PYTHONPATH or pip configuration must not leak into the environment.
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        environment |= {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_ROOT_USER_ACTION": "ignore"}
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, check=False
        )
        with self.log.open("a") as log:
            log.write(f"$ {shlex.join(command)}\n{done.stdout}\n")
        return done

    def become(self, arguments: list[str]) -> NoReturn:
        """Replaces this process by python in the environment, with its programs first on the PATH."""
        path = os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)])
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        environment.setdefault("ISSUANCE_LOCAL_WEBHOOKS", "1")  # for trying out webhooks beside it
        environment |= {"PATH": path, "PYTHONPATH": str(REPO), "ISSUANCE_HOME": str(self.home)}
        os.execve(self.python, [str(self.python), *arguments], environment)  # noqa: S606 - becoming it is the point


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another start is installing the Python packages; waiting for it …")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_room(home: Path) -> str:
    return f"make room on the disk of {home}, or set ISSUANCE_HOME to a folder on another one"


def not_written(error: OSError, home: Path) -> str:
    """What could not be written, and what to do about it."""
    what_to_do = make_room(home) if error.errno == errno.ENOSPC else "set ISSUANCE_HOME to a folder of your own"
    return f"cannot write {error.filename or home}: {error.strerror}; {what_to_do}"


def say(text: str) -> None:
    print(f"issuance: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> NoReturn:
    say(text)
    sys.exit(1)


def main() -> NoReturn:
    wanted, arguments = sys.argv[1], sys.argv[2:]
    home = Path(os.environ.get("ISSUANCE_HOME") or REPO / ".issuance").absolute()
    if wanted == "run":
        os.umask(0o077)  # what lies in the home is its owner's only: data, addresses with passwords, logs
    try:
        home.mkdir(parents=True, exist_ok=True)
        if (home / "environment.lock").exists() or not any(home.iterdir()):  # ours, not a folder that has more in it
            home.chmod(0o700)
        environment = Environment(home)
        environment.ensure("test" if arguments[:1] and arguments[0] in RUN_TESTS else wanted)
    except OSError as error:
        fail(not_written(error, home))
    except KeyboardInterrupt:
        fail("stopped while setting up; run again to go on")
    environment.become(["-m", "issuance.embedded", wanted, *arguments])


if __name__ == "__main__":
    main()
