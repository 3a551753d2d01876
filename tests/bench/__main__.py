"""``python -m tests.bench``: measure, print a table, write JSON. ``--help`` has the sizes."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import announcement, crowd, offline, restart, round_trip
from tests.bench.figures import Figure, table
from tests.bench.machine import machine
from tests.bench.stage import Stage

RESULTS = Path(__file__).parents[2] / "bench" / "results"

Case = Callable[[Stage, argparse.Namespace], Awaitable[list[Figure]]]

CASES: Mapping[str, Case] = {
    "round-trip": lambda stage, size: round_trip.measure(stage, size.samples),
    "crowd": lambda stage, size: crowd.measure(stage, size.commands, size.clients, size.rooms),
    "announcement": lambda stage, size: announcement.measure(stage, size.announced),
    "restart": lambda stage, size: restart.measure(stage, size.few, size.many, size.keys),
    "offline": lambda stage, size: offline.measure(stage.new_folder("offline"), size.messages, size.rows),
}


def sizes() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", metavar="a,b", help=f"some of: {', '.join(CASES)}")
    parser.add_argument("--out", type=Path, help="the JSON file (by default a new one in bench/results)")
    parser.add_argument("--samples", type=int, default=150, help="round-trip: samples of each way")
    parser.add_argument(
        "--commands", type=int, default=1000, help="crowd: commands, half live, half kept waiting"
    )
    parser.add_argument("--clients", type=int, default=20, help="crowd: people")
    parser.add_argument("--rooms", type=int, default=50, help="crowd: rooms")
    parser.add_argument("--announced", type=int, default=200, help="announcement: rooms")
    parser.add_argument("--few", type=int, default=100, help="restart: rooms of the first measurement")
    parser.add_argument("--many", type=int, default=1000, help="restart: rooms of the second")
    parser.add_argument("--keys", type=int, default=5, help="restart: room keys held for each room")
    parser.add_argument("--messages", type=int, default=5000, help="offline: messages to open")
    parser.add_argument("--rows", type=int, default=500, help="offline: rows to keep and answer")
    return parser


async def main(arguments: argparse.Namespace) -> bool:
    """Measure what is asked for; False when a target is missed."""
    wanted = arguments.only.split(",") if arguments.only else list(CASES)
    where, found = machine(), {}
    print(", ".join(f"{name} {value}" for name, value in where.items()), end="\n\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="parcours-bench-") as folder:
        async with Stage.set_up(Path(folder)) as stage:
            for case in wanted:
                found[case] = await CASES[case](stage, arguments)
                print(table(case, found[case]), end="\n\n", flush=True)
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": where | {"load_at_end": machine()["load"]},
        "sizes": {name: value for name, value in vars(arguments).items() if name not in ("only", "out")},
        "figures": {case: [figure.to_json() for figure in figures] for case, figures in found.items()},
    }
    out = arguments.out or RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"→ {out}")
    return all(figure.holds is not False for figures in found.values() for figure in figures)


if __name__ == "__main__":
    logging.getLogger("hub").setLevel(logging.ERROR)  # what a hub in this process notes on its way
    asyncio.run(main(sizes().parse_args()))
