"""Verifications between the hub and an operator."""

from __future__ import annotations

from dataclasses import replace

from hub.storage.engine import Database
from hub.storage.rows import VerificationRow
from tests.storage.examples import HUB, LATER, NOW, NURSE, ROOM

ASKED = VerificationRow(HUB, NURSE, "$asked", "PHONE", ROOM, "asked", None, None, NOW, None)


async def test_each_writes_a_part_and_neither_undoes_the_other(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.verifications.save(ASKED)
        assert await tx.verifications.open(HUB) == [ASKED]
        assert await tx.verifications.answer(HUB, NURSE, "$asked", "take")
        comparing = replace(ASKED, stage="comparing", code="🐶")
        await tx.verifications.save(comparing)
        assert await tx.verifications.find(HUB, NURSE, "$asked") == replace(comparing, answer="take")
        assert await tx.verifications.open("@other:x") == []


async def test_what_is_over_takes_no_answer_and_is_forgotten(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.verifications.save(ASKED)
        await tx.verifications.save(replace(ASKED, transaction_id="$later", asked_at=LATER))
        over = replace(ASKED, stage="cancelled", reason="m.user", settled_at=LATER)
        await tx.verifications.save(over)
        assert not await tx.verifications.answer(HUB, NURSE, "$asked", "same")
        assert await tx.verifications.find(HUB, NURSE, "$asked") == over
        assert [row.transaction_id for row in await tx.verifications.open(HUB)] == ["$later"]
        await tx.verifications.forget(HUB)
        assert await tx.verifications.find(HUB, NURSE, "$asked") is None
        assert len(await tx.verifications.open(HUB)) == 1


async def test_two_people_may_choose_the_same_transaction(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.verifications.save(ASKED)
        await tx.verifications.save(replace(ASKED, user_id="@bob:x", stage="begun"))
        assert await tx.verifications.find(HUB, NURSE, "$asked") == ASKED
