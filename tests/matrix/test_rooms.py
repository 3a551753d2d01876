"""A room folded from its state events, whoever sends them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.matrix.rooms import Room

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
kinds = st.sampled_from(["m.room.member", "m.room.encryption", "m.room.history_visibility", "m.room.name"])
events = st.fixed_dictionaries({"type": kinds | json, "state_key": st.just("") | json, "content": json})


def member(user_id: str, membership: str) -> dict[str, object]:
    return {"type": "m.room.member", "state_key": user_id, "content": {"membership": membership}}


ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}


@given(st.lists(events, max_size=12))
def test_no_state_event_breaks_a_room_or_takes_its_encryption_away(hostile: list[dict[str, object]]) -> None:
    room = Room("!r:x").after(ENCRYPTION)
    for event in hostile:
        room = room.after(event)
        assert room.encrypted is True
        assert room.rotation_messages > 0
        assert room.rotation_ms > 0


@given(st.lists(events, max_size=12))
def test_a_room_reads_back_as_it_was_kept(seen: list[dict[str, object]]) -> None:
    room = Room("!r:x")
    for event in seen:
        room = room.after(event)
    assert Room.from_json(room.to_json()) == room


def test_an_encryption_event_nobody_understands_still_means_encrypted() -> None:
    assert (
        Room("!r:x").after({**ENCRYPTION, "content": {"algorithm": "org.example.future"}}).encrypted is True
    )


def test_two_people_make_a_direct_room_three_do_not() -> None:
    room = Room("!r:x").after(member("@hub:x", "join")).after(member("@a:x", "invite"))
    assert room.direct
    assert not room.after(member("@b:x", "join")).direct
    assert room.after(member("@b:x", "join")).after(member("@b:x", "leave")).direct


def test_the_invited_are_readers_unless_history_begins_with_joining() -> None:
    room = Room("!r:x").after(member("@a:x", "join")).after(member("@b:x", "invite"))
    assert room.readers == {"@a:x", "@b:x"}
    joined = {
        "type": "m.room.history_visibility",
        "state_key": "",
        "content": {"history_visibility": "joined"},
    }
    assert room.after(joined).readers == {"@a:x"}


def test_a_version_12_room_id_is_as_good_as_any() -> None:
    assert Room("!W1RvdSIGKyEWnqkbgxgqkEBLSRKhSIlW2hpQJ6Y").after(ENCRYPTION).encrypted is True
