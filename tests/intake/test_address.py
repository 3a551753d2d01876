"""What becomes a row of the inbox, and what passes by and is stored nowhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.intake.address import Address
from hub.intake.note import Kind, Note
from hub.matrix.batch import Received
from hub.matrix.rooms import Room, RoomBook
from hub.matrix.trust import Pin, Verdict

HUB, NURSE, PATIENT, ROOM = "@parcours:x", "@nurse:x", "@patient:x", "!r:x"
ADDRESS = Address(HUB, ("Parcours", HUB), knows=lambda line: line.startswith("aide"))
DIRECT = Room(ROOM, members={HUB: "join", NURSE: "join"}, encrypted=True)
TEAM = Room(ROOM, members={HUB: "join", NURSE: "join", PATIENT: "join"}, encrypted=True)
NOW = datetime(2025, 3, 3, 11, 0, tzinfo=UTC)


def event(body: object = "/aide", **changes: Any) -> Received:
    values: dict[str, Any] = {
        "event_id": "$e",
        "room_id": ROOM,
        "sender": NURSE,
        "sent_at": NOW,
        "type": "m.room.message",
        "content": {"msgtype": "m.text", "body": body},
        "relates_to": {},
        "verdict": Verdict.TRUSTED,
    }
    return Received(**{**values, **changes})


@pytest.mark.parametrize("text", ["/aide", "!aide", "Parcours: aide", "@parcours:x aide", "/n'importe quoi"])
def test_what_is_said_to_the_hub_becomes_a_row(text: str) -> None:
    row = ADDRESS.message(event(text), TEAM)
    assert row is not None
    assert (row.kind, row.sender, row.event_id) == (Kind.COMMAND, NURSE, "$e")
    assert not Note.from_bytes(row.payload).direct


def test_bare_words_are_for_the_hub_where_it_is_alone_with_somebody() -> None:
    assert ADDRESS.message(event("bonjour"), TEAM) is None
    row = ADDRESS.message(event("bonjour"), DIRECT)
    assert row is not None
    assert Note.from_bytes(row.payload) == Note("bonjour", direct=True, verdict=Verdict.TRUSTED)


@pytest.mark.parametrize(
    "passing",
    [
        event("Bonjour docteur, l'aide à domicile est passée"),
        event("//aide"),
        event(content={"msgtype": "m.notice", "body": "/aide"}),
        event(content={"msgtype": "m.emote", "body": "/aide"}),
        event(content={"msgtype": "m.image", "body": "/aide"}),
        event(type="m.reaction"),
        event(type="m.room.message", state_key=""),
        event(None),
        event(["/aide"]),
    ],
)
def test_everything_else_passes_by(passing: Received) -> None:
    assert ADDRESS.message(passing, TEAM) is None


def test_a_room_that_nobody_knows_brings_nothing() -> None:
    assert ADDRESS.message(event(), None) is None


def test_an_edited_command_is_known_as_an_edit() -> None:
    edit = event(
        content={
            "msgtype": "m.text",
            "body": "* /aide",
            "m.new_content": {"msgtype": "m.text", "body": "/aide"},
        },
        relates_to={"rel_type": "m.replace", "event_id": "$first"},
    )
    row = ADDRESS.message(edit, TEAM)
    assert row is not None
    assert row.kind == Kind.EDIT


def test_the_proof_goes_with_the_row() -> None:
    row = ADDRESS.message(
        event(verdict=Verdict.UNSIGNED_DEVICE, session_id="s", message_index=7), Room(ROOM, members={})
    )
    assert row is not None
    assert (row.session_id, row.message_index) == ("s", 7)
    note = Note.from_bytes(row.payload)
    assert (note.verdict, note.room_encrypted) == (Verdict.UNSIGNED_DEVICE, False)
    assert "aide" not in repr(note)


def test_a_changed_identity_is_reported_once_in_each_room_shared_with_the_person() -> None:
    other = Room("!other:x", members={HUB: "join", NURSE: "join"})
    left = Room("!left:x", membership="leave", members={NURSE: "join"})
    book = RoomBook({room.room_id: room for room in (TEAM, other, left)})
    rows = ADDRESS.changed_identities([Pin(NURSE, "m1", "m2")], book, NOW)
    assert {row.room_id for row in rows} == {ROOM, "!other:x"}
    again = ADDRESS.changed_identities([Pin(NURSE, "m1", "m2")], book, NOW)
    assert [row.event_id for row in again] == [row.event_id for row in rows]  # the inbox takes each once


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
bodies = st.text(max_size=40) | json
contents = st.fixed_dictionaries(
    {},
    optional={
        "msgtype": st.just("m.text") | json,
        "body": bodies,
        "m.mentions": json | st.just({"user_ids": [HUB]}),
        "m.new_content": json | st.fixed_dictionaries({"msgtype": st.just("m.text"), "body": bodies}),
    },
)


@given(contents, st.just({"rel_type": "m.replace"}) | st.dictionaries(st.text(max_size=8), json, max_size=2))
def test_no_content_breaks_it_and_only_what_calls_the_hub_is_kept(
    content: dict[str, Any], relates_to: dict[str, Any]
) -> None:
    row = ADDRESS.message(event(content=content, relates_to=relates_to), TEAM)
    if row is not None:
        said = content.get("m.new_content") if relates_to.get("rel_type") == "m.replace" else content
        assert isinstance(said, dict)
        text = str(said["body"]).casefold()
        assert "parcours" in text or text.lstrip()[:1] in "/!／！" or any(sign in text for sign in "/!／！")
