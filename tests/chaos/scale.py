"""How much chaos: a little with every run of the tests, a lot with ``make chaos``."""

from __future__ import annotations

import os
import random
from pathlib import Path

LONG = "PARCOURS_CHAOS_COMMANDS" in os.environ
COMMANDS = int(os.environ.get("PARCOURS_CHAOS_COMMANDS", "200"))
KILLS = int(os.environ.get("PARCOURS_CHAOS_KILLS", "10"))
EVENTS = int(os.environ.get("PARCOURS_CHAOS_EVENTS", "600"))
SEED = int(os.environ.get("PARCOURS_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)

REPORT = Path(path) if (path := os.environ.get("PARCOURS_CHAOS_REPORT")) else None
"""Where the figures are written as JSON; None: they are only shown."""


def by_chance(case: str) -> random.Random:
    """The dice of one case: the same for the same seed, whichever other cases run."""
    return random.Random(f"{SEED} {case}")  # noqa: S311 - to be repeated, not to be secret
