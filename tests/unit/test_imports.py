"""Imports point down and never in a circle, and the rules of SEMANTICS are pure."""

import ast
import sys
from pathlib import Path

import grimp
import pytest
from importlinter.cli import lint_imports

REPO = Path(__file__).parents[2]
ROOTS = ("benchmarks", "issuance", "scheduler", "worker")
#: From the top; each may import what stands below it. Those on one line do not import each other.
LAYERS = """
    benchmarks
    scheduler | worker | issuance.api | issuance.cli
    issuance.console
    issuance.embedded
    issuance.laws
    issuance.billers
    issuance.memberships
    issuance.billing
    issuance.corrections
    issuance.members
    issuance.catalog
    issuance.engine
    issuance.credits
    issuance.webhooks
    issuance.people
    issuance.tenancy
    issuance.audit
    issuance.health | issuance.hints | issuance.fields
    issuance.heartbeats
    issuance.brokers
    issuance.database
    issuance.tracing
    issuance.log | issuance.settings | issuance.measures
    issuance.addresses | issuance.errors | issuance.shown | issuance.origins
    issuance.deciding | issuance.limits
"""
CONTRACTS = """
[importlinter]
root_packages =
    {roots}

[importlinter:contract:layers]
name = Imports point down
type = layers
layers = {layers}

[importlinter:contract:circles]
name = No circles between siblings, at any depth
type = acyclic_siblings
ancestors =
    {roots}
"""
#: What of the standard library would bring a clock, chance, or the world outside into `issuance.deciding`.
IMPURE = {"asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess", "threading", "time"}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*ROOTS, include_external_packages=True, cache_dir=None)


def keeps(contracts: Path, roots: tuple[str, ...], layers: str) -> bool:
    """Whether packages keep the contracts, which are written to a file."""
    contracts.write_text(CONTRACTS.format(roots="\n    ".join(roots), layers=layers))
    return lint_imports(config_filename=str(contracts), no_cache=True) == 0


def test_imports_point_down(graph: grimp.ImportGraph, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From room to room by the list above; and no two modules beside each other in a circle, nor two folders."""
    named = set(LAYERS.replace("|", " ").split())
    assert graph.find_children("issuance") <= named, "every room has its place in LAYERS"
    assert keeps(tmp_path / "contracts.ini", ROOTS, LAYERS), capsys.readouterr().out


@pytest.mark.parametrize(
    ("imports", "kept"),
    [
        ({"one": "from house.room import two", "two": ""}, True),
        ({"one": "from house.room import two", "two": "from house.room import one"}, False),
        (
            {
                "one": "from house.room import two",
                "two": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.room.one import One",
            },
            False,
        ),
        ({"one": "from house.room import two", "two": "def late():\n    from house.room import one"}, False),
    ],
    ids=["one way", "circle", "circle of types", "circle inside a function"],
)
def test_a_circle_in_a_room_breaks_the_contract(
    imports: dict[str, str], kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rooms deep, and for types only or inside a function as well."""
    room = tmp_path / "house" / "room"
    room.mkdir(parents=True)
    for module in (room.parent / "__init__.py", room / "__init__.py"):
        module.touch()
    for name, code in imports.items():
        (room / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert keeps(tmp_path / "contracts.ini", ("house",), "house.room") == kept


def test_deciding_is_pure(graph: grimp.ImportGraph) -> None:
    allowed = (sys.stdlib_module_names - IMPURE) | {"isodate"}
    inside = {"issuance.deciding", *graph.find_descendants("issuance.deciding")}
    for module in sorted(inside):
        imported = graph.find_modules_directly_imported_by(module) - inside
        assert {name.split(".")[0] for name in imported} <= allowed, module


@pytest.mark.parametrize(
    ("above", "below"),
    [("tests", ("campaigns", *ROOTS)), ("campaigns", ROOTS)],
)
def test_tests_import_campaigns_and_campaigns_the_product(above: str, below: tuple[str, ...]) -> None:
    """Never the other way round: the product runs without campaigns, and campaigns run without tests."""
    paths = [path for package in below for path in (REPO / package).rglob("*.py")]
    assert paths
    upwards = [
        f"{path.relative_to(REPO)} imports {name}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
        if name.partition(".")[0] == above
    ]
    assert upwards == []


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
