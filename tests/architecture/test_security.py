"""The threat model claims nothing that no test shows."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLAIM = re.compile(r"^\| (?!claim|---)(.+?) \| (.+?) \|$", re.MULTILINE)
TEST = re.compile(r"\btest_[a-z0-9_]+")


def test_every_claim_of_the_threat_model_has_its_tests() -> None:
    tests = (ROOT / "tests").glob("[!n]*/**/*.py")
    exist = {
        name
        for file in (*tests, *(ROOT / "tests").glob("*.py"))
        if "node_modules" not in file.parts
        for name in re.findall(r"def (test_[a-z0-9_]+)", file.read_text(encoding="utf-8"))
    }
    claims = CLAIM.findall((ROOT / "ops" / "security.md").read_text(encoding="utf-8"))
    assert len(claims) > 30
    for claim, shown_by in claims:
        named = TEST.findall(shown_by)
        assert named, claim
        assert set(named) <= exist, f"{claim}: no such test: {set(named) - exist}"
