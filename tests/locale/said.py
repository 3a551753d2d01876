"""What the code says: every catalogue key in its source, with the names of the facts that go with it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAYING = frozenset(
    [
        "Reply",
        "Refusal",
        "OperatorError",
        "SceneFailed",
        "Letter",
        "translate",
        "say",
        "tell",
        "step",
        "on_step",
        "warn",
        "group",
    ]
)

MATRIX = ("m.", "org.matrix.")


@dataclass(frozen=True)
class Said:
    """``facts`` is None where the source alone does not tell them."""

    key: str
    where: str
    facts: frozenset[str] | None = None


def said() -> list[Said]:
    """Everything that ``hub``, ``bots`` and ``bridges`` say; the codes of logs are no sentences."""
    folders = [ROOT / name for name in ("hub", "bots", "bridges")]
    code = [path for folder in folders for path in folder.rglob("*.py") if path.parent.name != "observe"]
    pages = [path for folder in folders for path in folder.rglob("*.html")]
    spoken = [
        found for path in code for node in ast.walk(ast.parse(path.read_text())) for found in _of(node, path)
    ]
    shown = [
        Said(found[1], str(path.relative_to(ROOT)))
        for path in pages
        for found in re.finditer(r'\bsay\("([a-z_.]+)"', path.read_text())
    ]
    return sorted(spoken + shown, key=lambda found: (found.where, found.key))


def _of(node: ast.AST, path: Path) -> Iterator[Said]:
    where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args, keywords=keywords) if (
            name in SAYING
        ):
            keys = [arg.value for arg in args if isinstance(arg, ast.Constant) and _is_key(arg.value)]
            facts = [keyword.arg for keyword in keywords if keyword.arg is not None]
            known = name != "Letter" and len(facts) == len(keywords)
            for key in keys[:1]:
                yield Said(str(key), where, frozenset(facts) if known else None)
        case ast.Tuple(elts=[ast.Constant(value=str(key)), ast.Dict(keys=names)]):  # a phrase
            told = [str(name.value) for name in names if isinstance(name, ast.Constant)]
            yield Said(key, where, frozenset(told) if len(told) == len(names) else None)
        case ast.Dict(values=values):  # a table from a reason to a key
            for value in values:
                key = value.value if isinstance(value, ast.Constant) else None
                if _is_key(key) and "." in str(key) and not str(key).startswith(MATRIX):
                    yield Said(str(key), where)


def _is_key(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"[a-z_]+([.:][a-z_]+)*", text) is not None
