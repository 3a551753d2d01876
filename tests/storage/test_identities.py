"""Pinned cross-signing keys."""

from __future__ import annotations

from hub.storage.engine import Database
from hub.storage.rows import Pinned
from tests.storage.examples import LATER, NOW, NURSE


async def test_the_first_key_is_pinned(database: Database) -> None:
    async with database.transaction() as tx:
        assert await tx.identities.find(NURSE) is None
        pinned = await tx.identities.pin(NURSE, "clé 1", NOW)
        assert pinned == Pinned(NURSE, "clé 1", NOW, None, None, None)
        assert await tx.identities.pin(NURSE, "clé 1", LATER) == pinned
        assert not pinned.changed and not pinned.news


async def test_another_key_is_news_once_and_not_believed(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.identities.pin(NURSE, "clé 1", NOW)
        changed = await tx.identities.pin(NURSE, "clé 2", LATER)
        assert changed == Pinned(NURSE, "clé 1", NOW, "clé 2", LATER, None, news=True)
        again = await tx.identities.pin(NURSE, "clé 2", LATER)
        assert again.changed and not again.news
        third = await tx.identities.pin(NURSE, "clé 3", LATER)
        assert third.news and third.master_key == "clé 1"


async def test_the_pinned_key_shown_again_ends_the_alarm(database: Database) -> None:
    async with database.transaction() as tx:
        before = await tx.identities.pin(NURSE, "clé 1", NOW)
        await tx.identities.pin(NURSE, "clé 2", LATER)
        assert await tx.identities.pin(NURSE, "clé 1", LATER) == before
        assert await tx.identities.find(NURSE) == before
        assert (await tx.identities.pin(NURSE, "clé 2", LATER)).news


async def test_a_change_counts_once_a_person_accepted_it(database: Database) -> None:
    admin = "@admin:hub.localhost"
    async with database.transaction() as tx:
        assert await tx.identities.accept(NURSE, "clé 1", admin, NOW) is None
        await tx.identities.pin(NURSE, "clé 1", NOW)
        assert await tx.identities.accept(NURSE, "clé 1", admin, NOW) is None
        await tx.identities.pin(NURSE, "clé 2", NOW)
        assert await tx.identities.accept(NURSE, "clé 3", admin, NOW) is None  # not the one that was seen
        accepted = await tx.identities.accept(NURSE, "clé 2", admin, LATER)
        assert accepted == Pinned(NURSE, "clé 2", LATER, None, None, admin)
        assert await tx.identities.all() == [accepted]
        assert (await tx.identities.pin(NURSE, "clé 1", LATER)).news
