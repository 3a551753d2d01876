"""``parcours``: see ``hub/cli``."""

from __future__ import annotations

import sys

from hub.cli import doctor, identity, keys, parked, people, talk, up, upkeep, verify
from hub.cli.app import cli, explain
from hub.errors import OperatorError
from hub.observe import Log, report

log = Log(__name__)

COMMANDS = (up, talk, people, identity, verify, keys, upkeep, doctor, parked)
"""Each registers its commands as it is imported."""


def main() -> None:
    """Run the command line. An error of the operator ends it with a sentence, a fault with a reference."""
    try:
        cli()
    except OperatorError as failed:
        explain(failed)
        sys.exit(failed.status)
    except Exception as fault:
        explain(OperatorError("fault.operator", reference=report(fault, log)))
        sys.exit(70)


if __name__ == "__main__":
    main()
