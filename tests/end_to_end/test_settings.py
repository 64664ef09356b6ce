"""A wrong or missing setting is one line in every process: its name, and nothing of its value (INTERFACE 2)."""

import os
import socket
import subprocess
import sys

import pytest

from issuance.errors import SettingsError
from issuance.settings import OwnSettings, Settings, read
from tests.serving import REPO, free_port

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
    "no port": ({"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:notaport/x"}, "DATABASE_URL"),
    "port 0": ({"DATABASE_URL": "host=/tmp port=0 password=hunter2"}, "DATABASE_URL"),
    "fewer ports than hosts": ({"DATABASE_URL": "host=a,hunter2,c port=1,2"}, "DATABASE_URL"),
    "no seconds": ({"DATABASE_URL": "postgresql://127.0.0.1/x?connect_timeout=hunter2"}, "DATABASE_URL"),
    "no mode of TLS": ({"DATABASE_URL": "postgresql://127.0.0.1/x?sslmode=hunter2"}, "DATABASE_URL"),
    "no option of a Redis": ({"REDIS_URL": "redis://127.0.0.1:1/0?hunter2=1"}, "REDIS_URL"),
    "no port past the pooler": ({"DATABASE_DIRECT_URL": "postgresql://a:hunter2/x"}, "DATABASE_DIRECT_URL"),
    "no port of the broker": ({"REDIS_URL": "redis://:hunter2@h:port/"}, "REDIS_URL"),
    "a password with a sign": ({"REDIS_URL": "rediss://:hunter2/2@h:1/"}, "REDIS_URL"),
    "no port of a Sentinel": ({"REDIS_URL": "redis+sentinel://h:1,h:hunter2/name"}, "REDIS_URL"),
    "no port of RabbitMQ": ({"REDIS_URL": "amqp://u:hunter2@h:port/"}, "REDIS_URL"),
    "no host": ({"ISSUANCE_STRIPE_API_BASE": "https://[hunter2/"}, "ISSUANCE_STRIPE_API_BASE"),
    "no port of an issuer": (
        {"ISSUANCE_OIDC_ISSUER": "https://a:hunter2", "ISSUANCE_OIDC_CLIENT_ID": "x"},
        "ISSUANCE_OIDC_ISSUER",
    ),
    "another broker's": ({"REDIS_URL": "kafka://root:hunter2@127.0.0.1/x"}, "REDIS_URL"),
}


#: What each process is tried with: the others are read in the same way.
TRIED = ("missing", "no port", "no port of the broker")
#: What OpenTelemetry would read itself.
OF_OTHERS = {
    "no collector": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "hunter2:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
}
#: What libpq and the brokers' clients know, and is not refused.
KNOWN = {
    "DATABASE_URL": [
        "postgres://u:p@a:1,b:2,[::1]/x?target_session_attrs=read-write&connect_timeout=3",
        "postgresql://a,b,c:5432/x",
        "postgresql:///x?host=/var/run/postgresql&port=5433",
        "postgresql+psycopg://%2Ftmp/x",
        "host=a,b port=5432 dbname=x keepalives_idle=-1",
        "host=a,b port=1, dbname=x",
        "service=issuance port=1,2",
        "dbname=x",
    ],
    "REDIS_URL": [
        "redis://h",
        "rediss://u:p%2F@[::1]:1/0?ssl_cert_reqs=none",
        "unix:///tmp/redis.sock?db=1",
        "unix://:p@/tmp/redis.sock",
        "redis+sentinel://:p@h:1,[::1]:2,k/name/1?sentinel_password=x",
        "amqps://u:p@h:1/vhost",
        "amqp://u:p@h:1/;amqp://u:p@i:2/",
    ],
}


@pytest.mark.parametrize("process", PROCESSES)
def test_a_wrong_setting_is_one_line_that_names_it(process: str) -> None:
    """At once, with exit code 1 (2 of commands); no process goes on with it."""
    for case, (said, named) in {**{case: WRONG[case] for case in TRIED}, **OF_OTHERS}.items():
        environment = {**os.environ, **GOOD, **said}
        ended = subprocess.run(
            [sys.executable, *PROCESSES[process]],
            env=environment,
            cwd=REPO,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert ended.returncode == (2 if process == "serve" else 1), case
        (line,) = (ended.stdout + ended.stderr).splitlines()
        assert named in line, case
        assert "hunter2" not in line, case


@pytest.mark.parametrize("door", ["", "METRICS_"])
def test_an_address_at_which_web_can_not_listen_is_one_line_that_names_its_settings(door: str) -> None:
    """The API's and the figures'; here somebody else listens there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = {f"ISSUANCE_{door}HOST": "127.0.0.1", f"ISSUANCE_{door}PORT": port}
        environment = {**os.environ, "ISSUANCE_PORT": str(free_port()), **GOOD, **said}
        command = [sys.executable, *PROCESSES["web"]]
        ended = subprocess.run(
            command, env=environment, cwd=REPO, capture_output=True, text=True, timeout=600, check=False
        )
    assert ended.returncode == 1
    (line,) = (ended.stdout + ended.stderr).splitlines()
    assert f"ISSUANCE_{door}HOST and ISSUANCE_{door}PORT" in line
    assert "Address already in use" in line


@pytest.mark.parametrize("named", ["worker", "worker:start"])
def test_a_worker_of_dramatiqs_own_ends_by_the_same_line(named: str) -> None:
    """Beside what dramatiq logs itself, once a process; no traceback."""
    command = [sys.executable, "-m", "dramatiq", named, "--queues", "events", "--processes", "1"]
    environment = {**os.environ, **GOOD, "DATABASE_URL": ""}
    ended = subprocess.run(command, env=environment, cwd=REPO, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 1
    (line,) = (one for one in (ended.stdout + ended.stderr).splitlines() if "[dramatiq." not in one)
    assert line.startswith("DATABASE_URL is not set")


@pytest.mark.parametrize("case", WRONG)
def test_nothing_of_a_wrong_setting_is_said(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said, named = WRONG[case]
    for name, value in {**GOOD, **said}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        read(Settings)
    assert refused.value.message.startswith(f"{named} is ")
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize("name", KNOWN)
def test_every_form_of_an_address_is_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other, value in GOOD.items():
        monkeypatch.setenv(other, value)
    for value in KNOWN[name]:
        monkeypatch.setenv(name, value)
        read(Settings)


def test_the_level_of_the_log_is_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    for level in ("debug", "DEBUG", "Debug"):
        monkeypatch.setenv("LOG_LEVEL", level)
        assert read(OwnSettings).log_level == "debug"
