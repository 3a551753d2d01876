"""``parcours demo``: plays every scene against a hub, and ends by itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console

from hub.errors import OperatorError
from hub.locale import Language, translate
from hub.seal import Master
from hub.terminal.cast import CAST, PRACTICE, Credentials
from hub.terminal.person import Person
from hub.terminal.scenes import across_town, first_words
from hub.terminal.stage import SceneFailed, Stage

SCENES = (first_words,)
PLAYERS = ("dr.moreau", "jeanne.martin")
ACROSS_TOWN = (across_town,)
"""Those that need the city practice, whose people play in them too."""


async def play(
    hub_id: str,
    accounts: Mapping[str, tuple[str, Credentials]],
    folder: Path,
    master: Master,
    console: Console,
    language: Language,
    pace: float,
) -> None:
    """Sign the players in and play. ``accounts``: the address of their homeserver and their account, by name.

    Raises OperatorError ``demo.no_cast`` or ``demo.failed``.
    """
    if missing := [part.localpart for part in CAST if part.localpart not in accounts]:
        raise OperatorError("demo.no_cast", missing=missing)
    from_town = [part.localpart for part in PRACTICE if part.localpart in accounts]
    scenes = (*SCENES, *ACROSS_TOWN) if from_town else SCENES
    async with AsyncExitStack() as stack:
        people = {
            name: await stack.enter_async_context(Person.at(*accounts[name], folder / name, master))
            for name in (*PLAYERS, *from_town)
        }
        stage = Stage(hub_id, console, language, people.__getitem__, pace)
        try:
            for scene in scenes:
                await scene.play(stage)
        except (SceneFailed, TimeoutError) as failed:
            code, facts = (
                (failed.code, failed.facts) if isinstance(failed, SceneFailed) else ("demo.late", {})
            )
            raise OperatorError("demo.failed", why=(code, facts)) from failed
        console.print(translate(language, "demo.done", n=len(stage.said)))
