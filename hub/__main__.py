"""``parcours``: see ``hub/cli``."""

from __future__ import annotations

import sys

from hub.cli import identity, people, talk, up, upkeep
from hub.cli.app import cli, explain
from hub.errors import OperatorError

COMMANDS = (up, talk, people, identity, upkeep)
"""Each registers its commands as it is imported."""


def main() -> None:
    """Run the command line. An operator's error ends it with a sentence and a status."""
    try:
        cli()
    except OperatorError as failed:
        explain(failed)
        sys.exit(failed.status)


if __name__ == "__main__":
    main()
