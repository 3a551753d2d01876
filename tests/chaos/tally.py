"""What was tried and what came of it, for people and for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass
class Tally:
    """One case. ``faults``: what was done to the hub, how often; the others count commands."""

    case: str
    faults: Counter[str] = field(default_factory=Counter)
    commands: int = 0
    answered: int = 0
    lost: int = 0
    doubled: int = 0
    undecryptable: int = 0


_NUMBERS = ("commands", "answered", "lost", "doubled", "undecryptable")


def table(tallies: Sequence[Tally]) -> Iterable[str]:
    """Lines for a terminal: a case a line, its faults below it."""
    width = max(len(tally.case) for tally in tallies)
    yield f"{'':{width}}  " + "  ".join(_NUMBERS)
    for tally in (*tallies, _all(tallies)):
        numbers = (f"{getattr(tally, name):>{len(name)}}" for name in _NUMBERS)
        yield f"{tally.case:{width}}  " + "  ".join(numbers)
        if tally.faults:
            yield "    " + ", ".join(f"{kind} {times}" for kind, times in sorted(tally.faults.items()))


def document(seed: int, tallies: Sequence[Tally]) -> str:
    """The same as JSON."""
    cases = [vars(tally) for tally in tallies]
    return json.dumps({"seed": seed, "cases": cases, "all": vars(_all(tallies))}, indent=2) + "\n"


def _all(tallies: Sequence[Tally]) -> Tally:
    return Tally("all", **{name: sum(getattr(tally, name) for tally in tallies) for name in _NUMBERS})
