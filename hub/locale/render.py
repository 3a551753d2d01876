"""A key and its facts, rendered for one reader: plain text that reads well, and safe HTML.

The Markdown of the catalogue is parsed *before* the facts are filled in, and only its leaves are filled:
a fact is never read as markup, so that nobody can inject a tag, a link or a mention whatever they are
called or type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from html import escape
from typing import Final, Protocol, TypeGuard, runtime_checkable

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from hub.locale.catalogue import template
from hub.locale.facts import choice_key, in_words, joined
from hub.locale.language import Language
from hub.locale.safe import safe

Facts = Mapping[str, object]


@runtime_checkable
class Phrase(Protocol):
    """A sentence inside a sentence: anything with a key and facts, such as a Reply."""

    @property
    def key(self) -> str: ...

    @property
    def facts(self) -> Facts: ...


@dataclass(frozen=True)
class Rendered:
    """``body`` reads well as it is; ``formatted_body`` holds only tags that Matrix allows."""

    body: str
    formatted_body: str


class MissingFact(LookupError):
    """The sentence quotes a fact that was not given: a mistake of the author, which the tests find."""


PLACEHOLDER: Final = re.compile(r"\{(?P<name>[a-z][a-z0-9_]*)(?::(?P<style>[a-z]+))?\}")
_LINK: Final = re.compile(r"(?:https?://|mailto:)[^\s<>\"]+\Z")
_TAGS: Final = {"strong": "strong", "em": "em", "bullet_list": "ul", "ordered_list": "ol", "list_item": "li"}
_BULLET: Final = "• "

# "zero" knows paragraphs and text only; what is not enabled here cannot appear in a message.
_MARKDOWN: Final = MarkdownIt("zero").enable(["list", "emphasis", "backticks", "link", "newline", "escape"])
# A link may be a placeholder: the address is checked once the fact is in it.
_MARKDOWN.normalizeLink = lambda url: url  # type: ignore[method-assign]
_MARKDOWN.validateLink = lambda url: True  # type: ignore[method-assign]


def render(language: Language, key: str, facts: Facts) -> Rendered:
    """The sentence ``key`` for a reader of ``language``.

    A fact is a text, a number, a moment, an Enum member (its words are in the catalogue under
    ``class.value``), a phrase (``(key, facts)`` or anything with both attributes), or a sequence of
    these. Raises ``MissingSentence``, :class:`MissingFact`, and ``TypeError`` for a fact of another type.
    """
    blocks = _parsed(template(language, key, facts.get("n"))).children
    write = _Writer(language, key, facts)
    return Rendered(write.plain_blocks(blocks), write.html_blocks(blocks))


def translate(language: Language, key: str, **facts: object) -> str:
    """The sentence as plain text."""
    return render(language, key, facts).body


@lru_cache(maxsize=4096)
def _parsed(markdown: str) -> SyntaxTreeNode:
    return SyntaxTreeNode(_MARKDOWN.parse(markdown))


@dataclass(frozen=True)
class _Writer:
    """Writes the parsed sentence twice: as plain text and as HTML."""

    language: Language
    key: str
    facts: Facts

    def plain_blocks(self, blocks: Sequence[SyntaxTreeNode]) -> str:
        text = ""
        for block in blocks:
            written = self.plain(block)
            if text and written:
                # A list reads as the continuation of the paragraph that announces it.
                text += "\n" if written.startswith(_BULLET) else "\n\n"
            text += written
        return text

    def html_blocks(self, blocks: Sequence[SyntaxTreeNode]) -> str:
        if len(blocks) == 1 and blocks[0].type == "paragraph" and self._list(blocks[0]) is None:
            return self._html_inside(blocks[0])  # one sentence needs no paragraph around it
        return "".join(map(self.html, blocks))

    def plain(self, node: SyntaxTreeNode) -> str:
        match node.type:
            case "text" | "code_inline":
                return self._fill(node.content, lambda spoken: spoken.body, str)
            case "softbreak" | "hardbreak":
                return "\n"
            case "link":
                text, address = self._plain_inside(node), self._address(node)
                return text if address in (None, text) else f"{text} ({address})"
            case "bullet_list":
                return "\n".join(_BULLET + _indented(self._plain_item(item)) for item in node.children)
            case "ordered_list":
                numbered = enumerate(map(self._plain_item, node.children), 1)
                return "\n".join(f"{number}. {_indented(item)}" for number, item in numbered)
            case "paragraph" if (items := self._list(node)) is not None:
                return "\n".join(_BULLET + _indented(item.body) for item in items)
            case _:
                return self._plain_inside(node)

    def html(self, node: SyntaxTreeNode) -> str:
        match node.type:
            case "text":
                return self._fill(node.content, lambda spoken: spoken.formatted_body, escape)
            case "code_inline":
                return f"<code>{self._fill(node.content, lambda spoken: escape(spoken.body), escape)}</code>"
            case "softbreak" | "hardbreak":
                return "<br>"
            case "link":
                address = self._address(node)
                inside = self._html_inside(node)
                return inside if address is None else f'<a href="{escape(address)}">{inside}</a>'
            case "paragraph" if (items := self._list(node)) is not None:
                return (
                    f"<ul>{''.join(f'<li>{item.formatted_body}</li>' for item in items)}</ul>"
                    if items
                    else ""
                )
            case "paragraph" if not node.hidden:
                inside = self._html_inside(node)
                return f"<p>{inside}</p>" if inside else ""  # an optional phrase that was not needed
            case kind if kind in _TAGS:
                return f"<{_TAGS[kind]}>{self._html_inside(node)}</{_TAGS[kind]}>"
            case _:
                return self._html_inside(node)

    def _plain_inside(self, node: SyntaxTreeNode) -> str:
        return "".join(map(self.plain, node.children))

    def _plain_item(self, node: SyntaxTreeNode) -> str:
        return self.plain_blocks(node.children)

    def _html_inside(self, node: SyntaxTreeNode) -> str:
        return "".join(map(self.html, node.children))

    def _fill(self, text: str, chosen: Callable[[Rendered], str], around: Callable[[str], str]) -> str:
        """``text`` with its placeholders filled; ``around`` treats what lies between them."""
        written, end = "", 0
        for found in PLACEHOLDER.finditer(text):
            written += around(text[end : found.start()])
            written += chosen(self._spoken(self._fact(found["name"]), found["style"] or ""))
            end = found.end()
        return written + around(text[end:])

    def _fact(self, name: str) -> object:
        try:
            return self.facts[name]
        except KeyError:
            raise MissingFact(f"{self.key} quotes {{{name}}}, which was not given") from None

    def _spoken(self, fact: object, style: str) -> Rendered:
        if isinstance(fact, Enum):
            return render(self.language, choice_key(fact), {})
        phrase = _phrase(fact)
        if phrase is not None:
            return render(self.language, *phrase)
        if _many(fact):
            items = [self._spoken(item, style) for item in fact]
            bodies, html = [item.body for item in items], [item.formatted_body for item in items]
            return Rendered(joined(self.language, bodies, style), joined(self.language, html, style))
        words = safe(in_words(self.language, fact, style))
        return Rendered(words, escape(words))

    def _list(self, paragraph: SyntaxTreeNode) -> list[Rendered] | None:
        """The items of a paragraph that is nothing but a placeholder for a sequence of phrases."""
        [inline] = paragraph.children
        if len(inline.children) != 1 or inline.children[0].type != "text":
            return None
        found = PLACEHOLDER.fullmatch(inline.children[0].content)
        fact = found and self._fact(found["name"])
        if not _many(fact):
            return None
        phrases = [_phrase(item) for item in fact]
        return [render(self.language, *phrase) for phrase in phrases if phrase] if all(phrases) else None

    def _address(self, node: SyntaxTreeNode) -> str | None:
        """Where a link leads, or None when the fact in it is not the address of a page or a mailbox."""
        address = self._fill(str(node.attrs["href"]), lambda spoken: spoken.body, str)
        return address if _LINK.match(address) else None


def _phrase(fact: object) -> tuple[str, Facts] | None:
    if isinstance(fact, Phrase):
        return fact.key, fact.facts
    match fact:
        case (str() as key, Mapping() as facts):
            return key, facts
        case _:
            return None


def _many(fact: object) -> TypeGuard[Sequence[object]]:
    return isinstance(fact, Sequence) and not isinstance(fact, str | bytes)


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")
