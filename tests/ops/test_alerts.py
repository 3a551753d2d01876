"""What is watched exists: each metric, label, check and log code that alerts, panels and the runbook name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub import wiring
from hub.doctor.checks import CHECKS
from hub.observe import Metrics

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "ops" / "prometheus"
RUNBOOK = (ROOT / "ops" / "runbook.md").read_text()
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "parcours.rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
BOARD: dict[str, Any] = json.loads((ROOT / "ops" / "grafana" / "parcours.json").read_text())
EXPRESSIONS: list[tuple[str, str]] = [
    *((alert["alert"], alert["expr"]) for alert in ALERTS),
    *((panel["title"], target["expr"]) for panel in BOARD["panels"] for target in panel["targets"]),
]
METRIC = re.compile(r"\b(?:parcours|process)_\w+\b")
FROM_PROMETHEUS = {"instance", "job", "le"}
"""Labels that the scrape and histograms add."""


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Prometheus' own judge of rules; ``ops/setup.sh`` brings it."""
    path = shutil.which("promtool", path=f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert path, "run ops/setup.sh"
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=False)


def exposed(text: str) -> set[str]:
    """Every name of a sample that an exposition has or may have."""
    names: set[str] = set()
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return names


def labels(expression: str) -> list[tuple[str, str, str]]:
    """(metric, label, value) of each matcher."""
    return [
        (metric, label, value)
        for metric, inside in re.findall(r"\b(\w+)\{([^}]*)\}", expression)
        for label, value in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', inside)
    ]


@pytest.mark.integration
def test_every_metric_that_is_watched_is_shown_by_a_hub_that_runs(running_hub: wiring.Running) -> None:
    known = exposed(running_hub.metrics.exposition().decode())
    watched = {name for _, expression in EXPRESSIONS for name in METRIC.findall(expression)}
    assert watched - known == set()
    assert {name for name in known if name.startswith("parcours_") and "created" not in name} - watched <= {
        f"parcours_{name}_seconds_{part}"
        for name in ("command", "http")
        for part in ("bucket", "sum", "count")
    }


@pytest.mark.parametrize(("name", "expression"), EXPRESSIONS, ids=[name for name, _ in EXPRESSIONS])
def test_every_label_and_its_values_exist(name: str, expression: str) -> None:
    metrics = Metrics.create()
    known = {
        f"{metric._name}{end}": set(metric._labelnames)
        for metric in (getattr(metrics, field.name) for field in fields(metrics) if field.name != "registry")
        for end in ("", "_total", "_bucket", "_count")
    }
    said = "\n".join(
        path.read_text() for folder in ("intake", "delivery") for path in (ROOT / "hub" / folder).glob("*.py")
    )
    for metric, label, value in labels(expression):
        if label in FROM_PROMETHEUS or metric.startswith(("up", "process_")):
            continue
        assert label in known[metric], f"{metric} has no {label}"
        if label == "check":
            assert set(value.split("|")) <= {check.name for check in CHECKS}
        if label == "outcome":
            assert all(f'"{word}"' in said for word in value.split("|"))
    for by in re.findall(r"\bby \(([^)]*)\)", expression):
        grouped = {label.strip() for label in by.split(",")} - FROM_PROMETHEUS
        assert any(grouped <= known[metric] for metric in METRIC.findall(expression) if metric in known)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_says_what_happens_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    told = alert["annotations"]
    assert len(told["summary"]) < 100
    assert len(told["description"]) > 60
    anchor = told["runbook"].removeprefix("ops/runbook.md#")
    anchors = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)}
    assert anchor in anchors


def test_every_log_code_that_somebody_is_sent_to_look_for_is_logged() -> None:
    told = RUNBOOK + "\n".join(str(alert["annotations"]) for alert in ALERTS)
    code = "\n".join(path.read_text() for path in (ROOT / "hub").rglob("*.py"))
    named = set(re.findall(r"« ([a-z_]+\.[a-z_]*) »", told))
    assert len(named) >= 6
    assert [word for word in named if f'"{word}' not in code] == []


@pytest.mark.integration
def test_prometheus_accepts_the_rules_and_each_alert_fires_when_it_should_and_only_then() -> None:
    checked = promtool("check", "rules", str(PROMETHEUS / "parcours.rules.yml"))
    assert checked.returncode == 0, checked.stderr
    tests = PROMETHEUS / "parcours.rules.test.yml"
    assert {alert["alert"] for alert in ALERTS} <= {
        test["name"] for test in yaml.safe_load(tests.read_text())["tests"]
    }
    tested = promtool("test", "rules", str(tests))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.integration
def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    recorded = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, (_, expression) in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    checked = promtool("check", "rules", str(file))
    assert checked.returncode == 0, checked.stderr


def test_the_dashboard_can_be_imported() -> None:
    assert BOARD["schemaVersion"] >= 36
    assert BOARD["title"] and BOARD["uid"]
    assert {variable["name"] for variable in BOARD["templating"]["list"]} == {"datasource", "instance"}
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        assert panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{panel['title']} overlaps another panel"
        assert at["x"] + at["w"] <= 24
        taken |= cells
