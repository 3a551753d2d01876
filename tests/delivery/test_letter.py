"""A letter is the same after it lay in the outbox, and becomes what a room can show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.care.directory.model import Role
from hub.commands.reply import Reply
from hub.delivery.content import content
from hub.delivery.letter import Kind, Letter
from hub.locale import Language

simple = (
    st.text()
    | st.integers()
    | st.booleans()
    | st.none()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.datetimes(timezones=st.just(UTC))
    | st.dates()
    | st.times()
    | st.integers(-(10**6), 10**6).map(lambda seconds: timedelta(seconds=seconds))
)
names = st.text("abc", min_size=1, max_size=3)
facts = st.recursive(
    simple,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(names, st.dictionaries(names, inner, max_size=2)),
    max_leaves=8,
)


@given(st.dictionaries(names, facts, max_size=4))
def test_facts_come_back_as_they_were(given_facts: dict[str, object]) -> None:
    letter = Letter(
        Kind.MESSAGE, "a.key", given_facts, Language.EN, True, "$question", ("@nurse:x",), warning=True
    )
    assert Letter.from_bytes(letter.to_bytes()) == letter


def test_choices_and_replies_inside_a_reply_read_the_same_afterwards() -> None:
    reply = Reply(
        "person.known",
        person="Nadia",
        user_id="@n:x",
        role=Role.PATIENT,
        language=Language.FR,
        emergency=("empty", {}),
    )
    before = Letter(Kind.MESSAGE, reply.key, reply.facts)
    try:
        wanted = content(before)
    except KeyError:  # pragma: no cover - a catalogue that lacks "empty" would be another test's failure
        pytest.fail("the sentence cannot be rendered")
    assert content(Letter.from_bytes(before.to_bytes())) == wanted


def test_what_nobody_meant_to_show_cannot_be_a_fact() -> None:
    with pytest.raises(TypeError):
        Letter(Kind.MESSAGE, "a.key", {"secret": object()}).to_bytes()


def test_a_letter_becomes_a_reply_that_mentions_its_reader() -> None:
    letter = Letter(Kind.MESSAGE, "edit.ignored", notify=True, reply_to="$q", mentions=("@nurse:x",))
    message = content(letter)
    assert message["msgtype"] == "m.text"
    assert message["m.mentions"] == {"user_ids": ["@nurse:x"]}
    assert message["m.relates_to"] == {"m.in_reply_to": {"event_id": "$q"}}
    quiet = content(Letter(Kind.MESSAGE, "edit.ignored"))
    assert quiet["msgtype"] == "m.notice"
    assert quiet["m.mentions"] == {}  # stated, so that nobody's client guesses
    assert "m.relates_to" not in quiet


def test_a_letter_does_not_show_its_facts() -> None:
    letter = Letter(
        Kind.MESSAGE, "undecryptable", {"sent_at": datetime(2025, 1, 1, tzinfo=UTC), "x": Decimal(1)}
    )
    assert "2025" not in repr(letter)
