"""Who may do what."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from bots import accueil
from hub.care.directory.model import Person, Role, UserId
from hub.commands.authorise import authorise, may
from hub.commands.permissions import PERMISSIONS, Permission
from hub.errors import Refusal
from tests.support.dialogue import NURSE, STRANGER

COMMANDS = {command.code: command for command in accueil.bot.commands}


def test_every_role_is_written_down() -> None:
    assert set(PERMISSIONS) == set(Role)


def test_a_stranger_may_ask_for_help_and_choose_a_language() -> None:
    assert {code for code, command in COMMANDS.items() if may(STRANGER, command)} == {
        "aide",
        "bonjour",
        "langue",
    }


def test_a_role_or_permission_that_nobody_wrote_down_is_refused() -> None:
    ghost = Person(UserId("@a:b"), cast(Role, "ghost"))
    assert not any(may(ghost, command) for command in COMMANDS.values())
    unheard_of = replace(COMMANDS["aide"], needs=cast(Permission, "fly"))
    assert not any(may(Person(UserId("@a:b"), role), unheard_of) for role in Role)


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(Refusal) as refused:
        authorise(STRANGER, COMMANDS["qui suis-je"])
    assert refused.value.code == "person.unknown"
    with pytest.raises(Refusal) as refused:
        authorise(NURSE, replace(COMMANDS["aide"], needs=cast(Permission, "fly")))
    assert refused.value.code == "command.forbidden"
