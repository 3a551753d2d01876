"""``parcours doctor``: is everything as it should be, and if not, what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from hub.cli.app import Config, Data, cli, console, run, say, settings_of
from hub.config import Settings
from hub.doctor.examine import examine
from hub.doctor.finding import Finding, Level, worst
from hub.doctor.patient import OnDisk
from hub.observe import setup_logging

MARKS = {
    Level.WELL: "[green]✓[/]",
    Level.WARNING: "[yellow]⚠[/]",
    Level.FAILING: "[bold red]✗[/]",
    Level.UNKNOWN: "[dim]?[/]",
}


@cli.command("doctor", help=say("cli.doctor"))
def doctor(
    config: Config = None,
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help=say("cli.option.json"))] = False,
) -> None:
    """Examine the hub. Exit status 1 when something fails; a warning alone is no failure."""
    settings = settings_of(config, data)
    setup_logging(settings.log.model_copy(update={"level": "ERROR"}))
    run(_examine(settings, as_json=as_json))


async def _examine(settings: Settings, *, as_json: bool) -> None:
    patient = OnDisk(settings)
    try:
        findings = await examine(patient)
    finally:
        await patient.close()
    level = worst(findings)
    if as_json:
        typer.echo(_json(findings, level))
    else:
        _show(findings, level)
    if level is Level.FAILING:
        raise typer.Exit(1)


def _show(findings: Sequence[Finding], level: Level) -> None:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column()
    table.add_column()
    table.add_column(overflow="fold")
    for finding in findings:
        title = escape(say(f"doctor.{finding.check}"))
        table.add_row(MARKS[finding.level], title, escape(_sentence(finding)))
    console.print(table)
    console.print(f"{MARKS[level]} {escape(say(f'doctor.summary.{level}'))}")
    if unknown := sum(finding.level is Level.UNKNOWN for finding in findings):
        console.print(f"{MARKS[Level.UNKNOWN]} {escape(say('doctor.summary.unknown', n=unknown))}")


def _json(findings: Sequence[Finding], level: Level) -> str:
    checks = [
        {
            "check": finding.check,
            "level": finding.level,
            "outcome": finding.outcome,
            "facts": _plain(finding.facts),
            "says": _sentence(finding),
        }
        for finding in findings
    ]
    return json.dumps({"level": level, "checks": checks}, ensure_ascii=False, indent=2)


def _sentence(finding: Finding) -> str:
    return say(f"doctor.{finding.code}", **finding.facts)


def _plain(fact: object) -> object:
    """A fact as JSON has it: moments in ISO 8601, durations in seconds."""
    match fact:
        case Mapping():
            return {name: _plain(value) for name, value in fact.items()}
        case list() | tuple():
            return [_plain(value) for value in fact]
        case timedelta():
            return fact.total_seconds()
        case datetime():
            return fact.isoformat()
        case _:
            return fact
