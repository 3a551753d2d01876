"""The tally of each case, and all of them at the end of the run."""

from __future__ import annotations

import pytest

from tests.chaos.scale import REPORT, SEED
from tests.chaos.tally import Tally, document, table

pytest.register_assert_rewrite("tests.chaos.crowd")

_TALLIES: list[Tally] = []


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """What this case did and what came of it."""
    one = Tally(request.node.name.removeprefix("test_"))
    _TALLIES.append(one)
    return one


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures, and write them where that was asked."""
    if not _TALLIES:
        return
    terminalreporter.section(f"chaos, PARCOURS_CHAOS_SEED={SEED}")
    for line in table(_TALLIES):
        terminalreporter.write_line(line)
    if REPORT is not None:
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(document(SEED, _TALLIES))
