"""How the code is laid out. Who may import whom is said in pyproject.toml, under [tool.importlinter]."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(file for package in ("hub", "bots", "bridges") for file in (ROOT / package).rglob("*.py"))

TALKS_TO_THE_OPERATOR = ("hub/cli/", "hub/terminal/", "hub/__main__.py")
HAS_A_LOG = ("hub/observe/", "hub/homeserver/policy.py")  # the policy's is Synapse's, where it lives
SERVES_PAGES = ("hub/web/", "hub/care/*/pages.py")


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def within(file: Path, places: tuple[str, ...]) -> bool:
    return any(name(file).startswith(place) or file.match(place) for place in places)


def nodes(file: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(file.read_text(encoding="utf-8")))


def imports(file: Path) -> Iterator[str]:
    """Every module imported, and every name from it, dotted."""
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", sorted({file.parent for file in SOURCES}), ids=name)
def test_every_folder_has_a_sign_at_the_door(folder: Path) -> None:
    sign = folder / "__init__.py"
    assert sign.exists(), "say in its docstring what lives here, what it may import, how to add one"
    assert ast.get_docstring(ast.parse(sign.read_text(encoding="utf-8")))


def test_only_the_command_line_prints() -> None:
    printing = [
        name(file)
        for file in SOURCES
        if not within(file, TALKS_TO_THE_OPERATOR)
        for node in nodes(file)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


def test_only_the_wordless_log_is_used() -> None:
    """``logging`` by itself would print whatever it is given."""
    logging = [
        f"{name(file)}:{node.lineno}"
        for file in SOURCES
        if not within(file, HAS_A_LOG)
        for node in nodes(file)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func) in {"logging.getLogger", "logging.basicConfig", "warnings.warn"}
    ]
    assert logging == []


def test_rules_import_the_standard_library_only() -> None:
    rules = sorted((ROOT / "hub" / "care").glob("*/model.py"))
    assert rules
    foreign = [
        f"{name(file)}: {module}"
        for file in rules
        for module in imports(file)
        if module.partition(".")[0] not in sys.stdlib_module_names
        and not module.startswith("hub.locale.language.")  # an Enum and nothing else
        and not (module.startswith("hub.care.") and ".model." in module)
    ]
    assert foreign == []


def test_only_pages_serve_http() -> None:
    serving = [
        name(file)
        for file in SOURCES
        if not within(file, SERVES_PAGES)
        and any(module.startswith("aiohttp.web") for module in imports(file))
    ]
    assert serving == []
