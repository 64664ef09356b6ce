"""Imports point down, and the rules of SEMANTICS are pure."""

import sys
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

#: From the top; each may import what stands below it. `|` parts strangers, `:` parts neighbours.
LAYERS = """
    benchmarks
    scheduler | worker | issuance.api | issuance.cli
    issuance.embedded
    issuance.laws
    issuance.memberships
    issuance.billing
    issuance.members
    issuance.catalog
    issuance.engine
    issuance.credits
    issuance.webhooks
    issuance.tenancy
    issuance.health : issuance.hints : issuance.fields
    issuance.database
    issuance.log : issuance.settings
    issuance.errors
    issuance.deciding
"""
CONTRACT = """
[importlinter]
root_packages =
    benchmarks
    issuance
    scheduler
    worker

[importlinter:contract:layers]
name = Imports point down
type = layers
layers = {layers}
"""
#: What of the standard library would bring a clock, chance, or the world outside into `issuance.deciding`.
IMPURE = {"asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess", "threading", "time"}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        "benchmarks", "issuance", "scheduler", "worker", include_external_packages=True, cache_dir=None
    )


def test_imports_point_down(graph: grimp.ImportGraph, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = set(LAYERS.replace("|", " ").replace(":", " ").split())
    assert graph.find_children("issuance") <= named, "every room has its place in LAYERS"
    contract = tmp_path / "importlinter.ini"
    contract.write_text(CONTRACT.format(layers=LAYERS))
    code = lint_imports(config_filename=str(contract), no_cache=True)
    assert code == 0, capsys.readouterr().out


def test_deciding_is_pure(graph: grimp.ImportGraph) -> None:
    allowed = (sys.stdlib_module_names - IMPURE) | {"isodate"}
    inside = {"issuance.deciding", *graph.find_descendants("issuance.deciding")}
    for module in sorted(inside):
        imported = graph.find_modules_directly_imported_by(module) - inside
        assert {name.split(".")[0] for name in imported} <= allowed, module
