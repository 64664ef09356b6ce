"""What is in deploy/ for those who watch: alerts that fire where they should and are explained, and a dashboard."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from issuance.api import metrics

REPO = Path(__file__).parents[2]
RULES, TRIED = REPO / "deploy/prometheus/alerts.yaml", REPO / "deploy/prometheus/alerts.test.yaml"
DASHBOARD = REPO / "deploy/grafana/issuance.json"
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())
PROMTOOL = shutil.which("promtool")

with_promtool = pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool here: apt-get install prometheus")


def expressions() -> list[str]:
    """All that the dashboard asks Prometheus."""
    asked = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]
    return [expr.replace("$__rate_interval", "5m") for expr in asked]


def promtool(*words: str | Path) -> None:
    done = subprocess.run([PROMTOOL or "", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_says_on_the_operations_page_what_it_means_and_what_to_do() -> None:
    """And the page tells of no other."""
    rows = re.findall(r"^\| `(Issuance\w+)` \| (.+?) \| (.+?) \|$", (REPO / "docs/operations.md").read_text(), re.M)
    assert sorted(name for name, _, _ in rows) == sorted(ALERTS)
    assert len(set(ALERTS)) == len(ALERTS) > 20


def test_each_alert_is_tried() -> None:
    """Once where something is wrong and once where all is well."""
    tried = re.findall(r"- name: (\w+), (something is wrong|all is well)", TRIED.read_text())
    assert sorted(tried) == sorted((name, case) for name in ALERTS for case in ("something is wrong", "all is well"))


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    """A name that is mistyped would never fire."""
    texts = [RULES.read_text(), TRIED.read_text(), *expressions()]
    asked = {name for text in texts for name in re.findall(r"\bissuance_[a-z_]+", text)}
    assert len(asked) > 20
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} <= metrics.names()


@with_promtool
def test_promtool_finds_the_alerts_well_formed_and_they_fire() -> None:
    """Where they should, and where all is well not."""
    promtool("check", "rules", RULES)
    promtool("test", "rules", TRIED)


@with_promtool
def test_promtool_reads_what_the_dashboard_asks(tmp_path: Path) -> None:
    """Each expression, as a rule of its own."""
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions())]
    assert len(rules) > 20
    written = tmp_path / "rules.yaml"
    written.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", written)
