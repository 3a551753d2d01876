"""What is wrong with a configuration, as sentences that say where, what was found, and what to write instead.

Works on the settings model alone: a new setting is explained by its name and its ``examples``.
"""

from __future__ import annotations

import json
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hub.errors import Fact

PREFIX = "PARCOURS_"
NOT_SETTINGS = frozenset({"MASTER_KEY", "HUB_PASSWORD"})
"""Variables of the same prefix that are read elsewhere."""

Problem = tuple[str, Mapping[str, Fact]]
"""A catalogue key and its facts, ready to be rendered as one item of a list."""


def read(file: Path, *, required: bool) -> tuple[dict[str, Any], list[Problem]]:
    """The content of a TOML file, or why there is none; a file that is not required may be missing."""
    try:
        text = file.read_text(encoding="utf-8")
        return tomllib.loads(text), []
    except FileNotFoundError:
        return {}, [("config.file_missing", {"file": str(file)})] if required else []
    except OSError as error:
        return {}, [("config.file_unreadable", {"file": str(file), "reason": error.strerror or ""})]
    except UnicodeDecodeError:
        return {}, [("config.file_encoding", {"file": str(file)})]
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        line = int(place[1]) if place else len(text.splitlines())  # "at end of document"
        return {}, [("config.file_syntax", {"file": str(file), "line": line})]


@dataclass(frozen=True)
class Faults:
    """Explains the faults of one load: ``file`` and ``environ`` are where the values came from."""

    model: type[BaseModel]
    file: Path
    environ: Mapping[str, str]

    def of_environment(self) -> list[Problem]:
        """Variables with our prefix that no setting reads."""
        known = {_variable(path): path for path in _settings(self.model)}
        return [
            _unknown(name, name, _nearest(name.upper(), known), known)
            for name, value in sorted(self.environ.items())
            if value and name.upper().startswith(PREFIX)
            if name.upper() not in known and name.upper().removeprefix(PREFIX) not in NOT_SETTINGS
        ]

    def of_validation(self, error: ValidationError) -> list[Problem]:
        """What pydantic found, each fault once."""
        found = (self._explain(details) for details in error.errors(include_url=False))
        return [problem for problem in found if problem is not None]

    def _explain(self, error: ErrorDetails) -> Problem | None:
        path = tuple(str(part) for part in error["loc"])
        key, variable = ".".join(path), _variable(path)
        from_environment = variable in (name.upper() for name in self.environ)
        where = variable if from_environment else str(self.file)
        if error["type"] == "needs_server_name":  # missing here and there: told for the file
            return "config.missing", {"where": str(self.file), "key": f"{key}.server_name"}
        field = _field(self.model, path)
        if field is None or _is_table(field):
            if from_environment:  # told by of_environment
                return None
            return (
                self._unknown_key(path)
                if field is None
                else ("config.not_a_table", {"where": where, "key": key})
            )
        if from_environment:
            write = [f"{variable}={example}" for example in field.examples or ()]
        else:
            write = [f"{path[-1]} = {_toml(example)}" for example in field.examples or ()]
        facts: dict[str, Fact] = {"where": where, "key": key, "write": write}
        if _holds_secret(field.annotation):
            return "config.wrong_secret", facts
        return "config.wrong_value", facts | {"found": _shown(error["input"], quoted=not from_environment)}

    def _unknown_key(self, path: Sequence[str]) -> Problem:
        settings = list(_settings(self.model))
        table, name = tuple(path[:-1]), path[-1]
        beside = {known[: len(path)] for known in settings if known[: len(table)] == table}
        by_name = {known[-1]: ".".join(known) for known in beside}
        elsewhere = [".".join(known) for known in settings if known[-1] == name]
        close = _nearest(name, by_name)
        nearest = by_name[close] if close else next(iter(elsewhere), None)
        return _unknown(str(self.file), ".".join(path), nearest, sorted(by_name.values()))


def _unknown(where: str, key: str, nearest: str | None, known: Iterable[str]) -> Problem:
    if nearest is None:
        return "config.unknown_key_far", {"where": where, "key": key, "known": list(known)}
    return "config.unknown_key", {"where": where, "key": key, "nearest": nearest}


def _nearest(name: str, known: Iterable[str]) -> str | None:
    bare = {candidate.removeprefix(PREFIX): candidate for candidate in known}
    close = get_close_matches(name.removeprefix(PREFIX), bare, n=1, cutoff=0.6)
    return bare[close[0]] if close else None


def _settings(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every setting: ``("data",)``, ``("web", "port")``…"""
    for name, field in model.model_fields.items():
        if _is_table(field):
            yield from _settings(typing.cast(type[BaseModel], field.annotation), (*above, name))
        else:
            yield (*above, name)


def _field(model: type[BaseModel], path: Sequence[str]) -> FieldInfo | None:
    field = model.model_fields.get(path[0])
    if field is None or len(path) == 1:
        return field
    return _field(typing.cast(type[BaseModel], field.annotation), path[1:])


def _is_table(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _holds_secret(annotation: object) -> bool:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return any(_holds_secret(part) for part in typing.get_args(annotation))
    return annotation is SecretStr


def _variable(path: Sequence[str]) -> str:
    return PREFIX + "__".join(path).upper()


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)  # a TOML scalar is written as in JSON


def _shown(value: object, *, quoted: bool) -> str:
    """What was found, without the password that a URL may carry, and not at length."""
    text = re.sub(r"//[^@/\s]*@", "//…@", _toml(value) if quoted else str(value))
    return text if len(text) <= 60 else f"{text[:59]}…"
