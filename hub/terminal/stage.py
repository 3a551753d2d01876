"""Where scenes are played: the people, and the eyes of whoever watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.rule import Rule

from hub.locale import Language, translate
from hub.matrix.batch import Received
from hub.matrix.trust import Verdict
from hub.terminal.chat import bubble
from hub.terminal.person import Person


class SceneFailed(Exception):
    """Something that the scene promised did not happen. ``code`` is a catalogue key."""

    def __init__(self, code: str, **facts: object) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts


@dataclass
class Stage:
    """``open`` gives a person of the cast. ``pace``: seconds between lines, for whoever reads along."""

    hub_id: str
    console: Console
    language: Language
    open: Callable[[str], Person]
    pace: float = 0.0
    said: list[str] = field(default_factory=list)

    def person(self, localpart: str) -> Person:
        """A person of the cast, signed in."""
        return self.open(localpart)

    def tell(self, key: str, **facts: object) -> None:
        """The narrator."""
        self.console.print(Rule(translate(self.language, key, **facts), style="dim", align="left"))

    async def ask(self, person: Person, room_id: str, text: str) -> Received:
        """Say something to the hub and wait for its answer; both are shown. Raises SceneFailed."""
        event_id = await self.say(person, room_id, text)
        try:
            answer = await person.answer_to(room_id, event_id)
        except TimeoutError as late:
            raise SceneFailed("demo.no_answer", person=person.name) from late
        self.show(answer)
        return answer

    async def say(self, person: Person, room_id: str, text: str) -> str:
        """Say something; it is shown. Returns the event id."""
        event_id = await person.say(room_id, text)
        self.console.print(bubble(person.name, text, own=True), justify="right")
        await asyncio.sleep(self.pace)
        return event_id

    def show(self, message: Received) -> None:
        """Show what was heard. Raises SceneFailed unless it came encrypted, from a proven sender."""
        if message.verdict is not Verdict.TRUSTED:
            raise SceneFailed("demo.not_trusted", verdict=message.verdict.value)
        body = str(message.content.get("body", ""))
        self.said.append(body)
        self.console.print(bubble("Parcours 🔒", body, own=False, machine=True))
