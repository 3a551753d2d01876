"""The directory on both databases."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hub.care.directory import service
from hub.care.directory.model import Person, Role, UserId, user_id
from hub.storage.engine import Database

NOW = datetime(2025, 3, 3, 11, 0, tzinfo=UTC)
ALICE = UserId("@alice:ville.example")


async def test_nobody_is_known_before_being_enrolled(database: Database) -> None:
    async with database.transaction() as tx:
        person = await service.find(tx, ALICE)
    assert person == Person(ALICE, Role.UNKNOWN)
    assert not person.enrolled
    assert person.name == ALICE


async def test_enrolment_is_kept_and_told(database: Database) -> None:
    async with database.transaction() as tx:
        await service.enrol(tx, ALICE, Role.PATIENT, "Alice Martin", NOW)
    async with database.transaction() as tx:
        person = await service.find(tx, ALICE)
        facts = await tx.journal.read("person:@alice:ville.example")
    assert person == Person(ALICE, Role.PATIENT, "Alice Martin")
    assert person.name == "Alice Martin"
    [fact] = facts
    assert (fact.name, fact.by, fact.cause, fact.at) == ("PersonEnrolled", "operator", None, NOW)
    assert json.loads(fact.payload) == {"role": "patient"}


async def test_enrolling_the_same_twice_is_told_once_and_a_change_again(database: Database) -> None:
    async with database.transaction() as tx:
        for role in (Role.PATIENT, Role.PATIENT, Role.CAREGIVER):
            await service.enrol(tx, ALICE, role, "Alice", NOW, by="@admin:chu.example", cause="$event")
        person = await service.find(tx, ALICE)
        facts = await tx.journal.read("person:@alice:ville.example")
    assert person.role is Role.CAREGIVER
    assert [json.loads(fact.payload)["role"] for fact in facts] == ["patient", "caregiver"]
    assert {(fact.by, fact.cause) for fact in facts} == {("@admin:chu.example", "$event")}


async def test_nobody_is_enrolled_as_unknown(database: Database) -> None:
    async with database.transaction() as tx:
        with pytest.raises(ValueError, match="role"):
            await service.enrol(tx, ALICE, Role.UNKNOWN, None, NOW)


async def test_a_language_is_chosen_enrolled_or_not_and_survives_enrolment(database: Database) -> None:
    async with database.transaction() as tx:
        changed = await service.choose_language(tx, await service.find(tx, ALICE), "en", NOW, "$event")
        assert changed == Person(ALICE, Role.UNKNOWN, None, "en")
        assert await service.find(tx, ALICE) == changed
        enrolled = await service.enrol(tx, ALICE, Role.PATIENT, None, NOW + timedelta(days=1))
        assert enrolled == await service.find(tx, ALICE) == Person(ALICE, Role.PATIENT, None, "en")
        facts = await tx.journal.read("person:@alice:ville.example")
    assert [(fact.name, fact.by, fact.cause) for fact in facts] == [
        ("LanguageChosen", ALICE, "$event"),
        ("PersonEnrolled", "operator", None),
    ]


async def test_choosing_the_same_language_twice_is_told_once(database: Database) -> None:
    async with database.transaction() as tx:
        person = await service.choose_language(tx, Person(ALICE, Role.UNKNOWN), "en", NOW, "$1")
        assert await service.choose_language(tx, person, "en", NOW, "$2") == person
        assert len(await tx.journal.read("person:@alice:ville.example")) == 1


async def test_choosing_a_language_undoes_no_other_change(database: Database) -> None:
    async with database.transaction() as tx:
        seen_before = await service.find(tx, ALICE)
        await service.enrol(tx, ALICE, Role.PATIENT, "Alice", NOW)
        await service.choose_language(tx, seen_before, "en", NOW, "$1")
        assert await service.find(tx, ALICE) == Person(ALICE, Role.PATIENT, "Alice", "en")


async def test_what_is_rolled_back_never_happened(database: Database) -> None:
    with pytest.raises(RuntimeError):
        async with database.transaction() as tx:
            await service.enrol(tx, ALICE, Role.PATIENT, "Alice", NOW)
            raise RuntimeError
    async with database.transaction() as tx:
        assert await service.find(tx, ALICE) == Person(ALICE, Role.UNKNOWN)
        assert await tx.journal.read("person:@alice:ville.example") == []


@pytest.mark.parametrize("text", ["@a:b", "@a.b-c_d=/+:chu.example:8448", "@é:b.example", "@a:[::1]:8008"])
def test_user_ids(text: str) -> None:
    assert user_id(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "a", "@", "@a", "a:b", "@:b", "@a:", "@a b:c", "@a\n:b", "@\u202ea:b", "@" + "é" * 127 + ":b"],
)
def test_what_is_no_user_id(text: str) -> None:
    with pytest.raises(ValueError, match="user id"):
        user_id(text)


def test_people_are_values() -> None:
    person = Person(ALICE, Role.PATIENT)
    assert replace(person, language="fr") != person
