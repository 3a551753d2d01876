"""Each event once, in the order of its room."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import asdict
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.storage.engine import Database
from tests.storage.examples import HUB, LATER, NOW, OTHER_ROOM, ROOM, incoming
from tests.support.databases import Backend


async def test_a_row_comes_out_as_it_went_in(database: Database) -> None:
    event = incoming("$1", session_id="séance", message_index=0)
    async with database.transaction() as tx:
        assert await tx.inbox.add(event, NOW)
    async with database.transaction() as tx:
        row = await tx.inbox.next(HUB, NOW)
    assert row is not None
    given = asdict(event)
    assert {name: value for name, value in asdict(row).items() if name in given} == given
    assert (row.attempts, row.received_at) == (0, NOW)


async def test_an_event_known_already_is_not_taken_twice(database: Database) -> None:
    async with database.transaction() as tx:
        assert await tx.inbox.add(incoming("$1"), NOW)
        assert not await tx.inbox.add(incoming("$1", payload=b"other words"), LATER)
        assert await tx.inbox.add(incoming("$2"), NOW)  # the transaction goes on
    async with database.transaction() as tx:
        assert not await tx.inbox.add(incoming("$1"), LATER)
        assert await tx.inbox.depth(HUB) == 2


async def test_a_message_replayed_in_another_event_is_not_taken(database: Database) -> None:
    async with database.transaction() as tx:
        assert await tx.inbox.add(incoming("$1", session_id="s", message_index=7), NOW)
        assert not await tx.inbox.add(incoming("$2", session_id="s", message_index=7), NOW)
        assert not await tx.inbox.add(incoming("$3", OTHER_ROOM, session_id="s", message_index=7), NOW)
        assert await tx.inbox.add(incoming("$4", session_id="s", message_index=8), NOW)


async def test_events_without_a_session_are_no_replays_of_each_other(database: Database) -> None:
    async with database.transaction() as tx:
        assert await tx.inbox.add(incoming("$1"), NOW)
        assert await tx.inbox.add(incoming("$2"), NOW)


async def test_two_accounts_of_one_hub_do_not_mix(database: Database) -> None:
    second = "@second:hub.localhost"
    async with database.transaction() as tx:
        assert await tx.inbox.add(incoming("$1", session_id="s", message_index=7), NOW)
        assert await tx.inbox.add(incoming("$1", account=second, session_id="s", message_index=7), NOW)
        assert await tx.inbox.depth(second) == 1
        row = await tx.inbox.next(second, NOW)
        assert row is not None and row.account == second
        assert await tx.inbox.next("@third:hub.localhost", NOW) is None


async def test_what_was_done_is_still_known_and_its_words_are_gone(
    database: Database, backend: Backend
) -> None:
    async with database.transaction() as tx:
        await tx.inbox.add(incoming("$1", session_id="s", message_index=7), NOW)
        row = await tx.inbox.next(HUB, NOW)
        assert row is not None
        await tx.inbox.done(row.id, NOW)
    async with database.transaction() as tx:
        assert await tx.inbox.next(HUB, LATER) is None
        assert await tx.inbox.depth(HUB) == 0
        assert not await tx.inbox.add(incoming("$1"), LATER)
        assert not await tx.inbox.add(incoming("$2", session_id="s", message_index=7), LATER)
    assert await backend.execute("SELECT payload FROM inbox") == [(b"",)]


async def test_a_room_waits_for_its_row_in_back_off_and_other_rooms_do_not(database: Database) -> None:
    async with database.transaction() as tx:
        for event in (incoming("$1"), incoming("$2"), incoming("$3", OTHER_ROOM)):
            await tx.inbox.add(event, NOW)
        first = await tx.inbox.next(HUB, NOW)
        assert first is not None and first.event_id == "$1"
        await tx.inbox.retry(first.id, LATER, "7F3K-2MQX")
    async with database.transaction() as tx:
        other = await tx.inbox.next(HUB, NOW)
        assert other is not None and other.event_id == "$3"
        await tx.inbox.done(other.id, NOW)
        assert await tx.inbox.next(HUB, LATER - timedelta(milliseconds=1)) is None
        again = await tx.inbox.next(HUB, LATER)
        assert again is not None
        assert (again.event_id, again.attempts) == ("$1", 1)


async def test_a_parked_row_lets_its_room_go_on_and_can_be_brought_back(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.inbox.add(incoming("$1"), NOW)
        await tx.inbox.add(incoming("$2"), NOW)
        first = await tx.inbox.next(HUB, NOW)
        assert first is not None
        await tx.inbox.park(first.id, "7F3K-2MQX", NOW)
    async with database.transaction() as tx:
        (parked,) = await tx.inbox.parked(HUB)
        assert (parked.id, parked.room_id, parked.reference, parked.at) == (first.id, ROOM, "7F3K-2MQX", NOW)
        assert await tx.inbox.depth(HUB) == 1
        second = await tx.inbox.next(HUB, NOW)
        assert second is not None and second.event_id == "$2"
        assert not await tx.inbox.bring_back("@other:hub.localhost", parked.id, NOW)
        assert await tx.inbox.bring_back(HUB, parked.id, NOW)
        assert not await tx.inbox.bring_back(HUB, parked.id, NOW)  # it is parked no more
        assert await tx.inbox.parked(HUB) == []
        back = await tx.inbox.next(HUB, NOW)
        assert back is not None and back.event_id == "$1" and back.payload == first.payload
        assert back.attempts == 0


async def test_a_parked_row_that_is_dropped_loses_its_words_and_stays_known(
    database: Database, backend: Backend
) -> None:
    async with database.transaction() as tx:
        await tx.inbox.add(incoming("$1"), NOW)
        first = await tx.inbox.next(HUB, NOW)
        assert first is not None
        assert not await tx.inbox.drop(HUB, first.id, NOW)  # not parked: the clerk's, not the operator's
        await tx.inbox.park(first.id, "7F3K-2MQX", NOW)
        assert await tx.inbox.drop(HUB, first.id, LATER)
        assert not await tx.inbox.bring_back(HUB, first.id, LATER)
        assert await tx.inbox.parked(HUB) == []
        assert await tx.inbox.next(HUB, LATER) is None
    async with database.transaction() as tx:
        assert not await tx.inbox.add(incoming("$1"), LATER)
    ((payload, state),) = await backend.execute("SELECT payload, state FROM inbox")
    assert (bytes(payload), state) == (b"", "dropped")


async def test_a_claim_that_is_rolled_back_is_open_again(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.inbox.add(incoming("$1"), NOW)
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            row = await tx.inbox.next(HUB, NOW)
            assert row is not None
            await tx.inbox.done(row.id, NOW)
            raise ZeroDivisionError
    async with database.transaction() as tx:
        row = await tx.inbox.next(HUB, NOW)
        assert row is not None and (row.event_id, row.attempts) == ("$1", 0)


async def test_two_workers_never_hold_one_row_nor_overtake_in_a_room(database: Database) -> None:
    events = [incoming(f"${n}", f"!salon{n % 3}") for n in range(12)]
    async with database.transaction() as tx:
        for event in events:
            await tx.inbox.add(event, NOW)
    done: list[tuple[str, str]] = []

    async def work() -> None:
        while True:
            async with database.transaction() as tx:
                row = await tx.inbox.next(HUB, NOW)
                if row is not None:
                    await tx.inbox.done(row.id, NOW)
                elif await tx.inbox.depth(HUB) == 0:
                    return
            if row is not None:
                done.append((row.room_id, row.event_id))

    await asyncio.gather(*(work() for _ in range(4)))
    assert len(done) == len(events)
    for room in {event.room_id for event in events}:
        assert [e for r, e in done if r == room] == [e.event_id for e in events if e.room_id == room]


_accounts = itertools.count()
_step = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(["!a", "!b", "!c"])),
    st.tuples(st.sampled_from(["done", "park", "retry"]), st.just("")),
    st.tuples(st.just("wait"), st.just("")),
)


@given(steps=st.lists(_step, max_size=25))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_happens_the_next_row_is_the_one_a_simple_list_gives(
    database: Database, steps: list[tuple[str, str]]
) -> None:
    account = f"@example{next(_accounts)}:hub.localhost"
    now, model = NOW, list[dict[str, object]]()  # the model: open rows, oldest first

    def due() -> str | None:
        seen = set()
        for row in model:
            if row["room"] not in seen and row["at"] <= now:  # type: ignore[operator]
                return str(row["event"])
            seen.add(row["room"])
        return None

    for number, (step, room) in enumerate(steps):
        async with database.transaction() as tx:
            if step == "add":
                await tx.inbox.add(incoming(f"${number}", room, account=account), now)
                model.append({"event": f"${number}", "room": room, "at": now})
            elif step == "wait":
                now += timedelta(minutes=1)
            row = await tx.inbox.next(account, now)
            assert (row.event_id if row else None) == due()
            if row is None:
                continue
            entry = next(open_ for open_ in model if open_["event"] == row.event_id)
            if step == "retry":
                entry["at"] = now + timedelta(minutes=2)
                await tx.inbox.retry(row.id, now + timedelta(minutes=2), "7F3K-2MQX")
            elif step == "done":
                model.remove(entry)
                await tx.inbox.done(row.id, now)
            elif step == "park":
                model.remove(entry)
                await tx.inbox.park(row.id, "7F3K-2MQX", now)
    async with database.transaction() as tx:
        assert await tx.inbox.depth(account) == len(model)
