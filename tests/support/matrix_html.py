"""Reads a ``formatted_body`` as strictly as the strictest client would."""

from __future__ import annotations

from html.parser import HTMLParser

ALLOWED = frozenset({"strong", "em", "code", "ul", "ol", "li", "p", "br", "a"})


def tags(html: str) -> list[tuple[str, dict[str, str | None]]]:
    """The opening tags of ``html``, in order; fails on a tag that Matrix would drop, or one left open or
    crossed.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open, f"left open: {reader.open}"
    return reader.seen


def text(html: str) -> str:
    """What a person reads of it."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return "".join(reader.words)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, f"<{tag}> is not for Matrix"
        assert {name for name, _ in attrs} <= ({"href"} if tag == "a" else set())
        self.seen.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError("a declaration")
