"""A letter, rendered for its reader as the content of an ``m.room.message``."""

from __future__ import annotations

from typing import Any

from hub.delivery.letter import Letter
from hub.locale.render import render


def content(letter: Letter) -> dict[str, Any]:
    """Plain text and safe HTML; ``m.notice`` unless telephones should ring; mentions stated, even none."""
    rendered = render(letter.language, letter.key, letter.facts)
    message: dict[str, Any] = {
        "msgtype": "m.text" if letter.notify else "m.notice",
        "body": rendered.body,
        "format": "org.matrix.custom.html",
        "formatted_body": rendered.formatted_body,
        "m.mentions": {"user_ids": list(letter.mentions)} if letter.mentions else {},
    }
    if letter.reply_to is not None:
        message["m.relates_to"] = {"m.in_reply_to": {"event_id": letter.reply_to}}
    return message
