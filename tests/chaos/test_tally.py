"""The figures, as people and programs read them."""

from __future__ import annotations

import json
from collections import Counter

from tests.chaos.tally import Tally, document, table


def test_figures_are_shown_and_written() -> None:
    tallies = [
        Tally("one", Counter({"kill": 2}), commands=5, answered=4, lost=1),
        Tally("two", commands=1, answered=1),
    ]
    found = json.loads(document(7, tallies))
    assert found["seed"] == 7
    assert found["cases"][0]["faults"] == {"kill": 2}
    assert (found["all"]["commands"], found["all"]["answered"], found["all"]["lost"]) == (6, 5, 1)
    assert [line.split() for line in table(tallies)][-1] == ["all", "6", "5", "1", "0", "0"]
    assert any("kill 2" in line for line in table(tallies))
