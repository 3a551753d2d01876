"""What the tracked files may say about where they were written and where their parts come from."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]

REGISTRIES = re.compile(
    rb"//[a-z0-9.-]*\b(pypi|pythonhosted|npmjs|yarnpkg|debian)\.(org|com)\b", re.IGNORECASE
)
SOMEBODYS_FOLDER = re.compile(rb"(?<![\w.])/(home/[a-z]|root/|Users/[A-Za-z]|work/[a-z])")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [file for entry in listed.stdout.split("\0") if entry and (file := ROOT / entry).is_file()]


def locked(lock: str) -> dict[str, str]:
    """Name → version of a lock file."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    return {
        canonicalize_name(n): v for n, v in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("forbidden", [REGISTRIES, SOMEBODYS_FOLDER], ids=["registries", "folders"])
def test_no_file_names_a_registry_or_somebodys_folder(forbidden: re.Pattern[bytes]) -> None:
    named = [
        f"{file.relative_to(ROOT)}: {found[0]!r}"
        for file in tracked()
        if file != Path(__file__) and (found := forbidden.search(file.read_bytes()))
    ]
    assert named == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_has_its_hashes(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    entries = re.sub(r"^\s*#.*\n?", "", text, flags=re.MULTILINE).replace("\\\n", " ").split("\n")
    for entry in filter(None, map(str.strip, entries)):
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[^\s]+( ;.*?)?(\s+--hash=sha256:[0-9a-f]{64})+", entry), entry[
            :60
        ]


def test_the_locks_answer_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    run, develop = locked("requirements.lock"), locked("requirements-dev.lock")
    asked = [(run, line) for line in project["dependencies"]]
    asked += [(develop, line) for line in project["optional-dependencies"]["dev"]]
    for lock, line in asked:
        wanted = Requirement(line)
        version = lock.get(canonicalize_name(wanted.name))
        assert version is not None, f"{line}: run make lock"
        assert wanted.specifier.contains(version), f"{line} is locked at {version}: run make lock"
    assert run.items() <= develop.items()


def test_node_packages_are_locked_by_hash_not_by_address() -> None:
    locks = [file for file in tracked() if file.name == "package-lock.json"]
    assert locks
    for lock in locks:
        assert '"resolved"' not in lock.read_text(encoding="utf-8"), lock
        packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
        assert all(package.get("integrity") for path, package in packages.items() if path), lock
