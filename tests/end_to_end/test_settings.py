"""A wrong or missing setting is one line in every process: its name, and nothing of its value (INTERFACE 2)."""

import os
import subprocess
import sys

import pytest

PROCESSES = {
    "web": ["-m", "issuance.api"],
    "scheduler": ["-m", "scheduler"],
    "worker": ["-m", "worker", "--queues", "events"],
    "serve": ["-c", "from issuance.cli.main import main; main()", "serve"],
}
GOOD = {"DATABASE_URL": "postgresql://127.0.0.1:1/nobody", "REDIS_URL": "redis://127.0.0.1:1/0"}
WRONG = {
    "no address": ({"DATABASE_URL": "hunter2"}, "DATABASE_URL"),
    "another database's": ({"DATABASE_URL": "mysql://root:hunter2@127.0.0.1/x"}, "DATABASE_URL"),
    "missing": ({"DATABASE_URL": ""}, "DATABASE_URL"),
    "no service": ({"REDIS_URL": "redis+sentinel://:hunter2@127.0.0.1"}, "REDIS_URL"),
    "another broker's": ({"REDIS_URL": "kafka://root:hunter2@127.0.0.1/x"}, "REDIS_URL"),
}


@pytest.mark.parametrize("process", PROCESSES)
def test_a_wrong_setting_is_one_line_that_names_it(process: str) -> None:
    for case, (said, named) in WRONG.items():
        environment = {**os.environ, **GOOD, **said}
        ended = subprocess.run(
            [sys.executable, *PROCESSES[process]],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode != 0, case
        (line,) = (ended.stdout + ended.stderr).splitlines()
        assert named in line, case
        assert "hunter2" not in line, case
