"""Sentences as they reach a room: plain text that reads well, HTML that nobody can inject into."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.care.directory.model import Role
from hub.commands.reply import Reply
from hub.locale import Language, translate
from hub.locale.catalogue import MissingSentence
from hub.locale.render import MissingFact, Rendered, render
from hub.locale.safe import excerpt, safe
from tests.support import sentences
from tests.support.matrix_html import tags, text

FR, EN = Language.FR, Language.EN


@pytest.fixture(scope="module", autouse=True)
def _module() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        fr: dict[str, str | tuple[str, ...]] = {
            "t.bare": "{name}",
            "t.bold": "Bonjour **{name}**, voici *tout* : `{name}`.",
            "t.two": "Un.\n\nDeux {name}.",
            "t.lines": "Un\ndeux",
            "t.list": "Voici :\n\n- un\n- **deux** {name}\n\nFin.",
            "t.ordered": "1. un\n2. deux",
            "t.items": "Voici :\n\n{items}\n\nFin.",
            "t.inline": "Voici {items}.",
            "t.or": "Voici {items:or}.",
            "t.group": "**{name}**\n\n{items}",
            "t.link": "Ouvrez [votre page]({url}).",
            "t.raw": "<b>gras</b> # titre\n> cité &amp; ![x](y) {not a placeholder}",
            "t.count": ("{n} message de {name}", "{n} messages de {name}"),
            "t.safety": "Un.\n\n{name}\n\n{safety}",
            "t.french": "Vraiment ? « oui » : 10 % ; fini !",
        }
        en: dict[str, str | tuple[str, ...]] = {
            "t.count": ("{n} message from {name}", "{n} messages from {name}"),
            "t.bold": "Hello **{name}**",
        }
        sentences.add(patch, fr, en)
        yield


def test_markdown_becomes_plain_text_and_html() -> None:
    assert render(FR, "t.bold", {"name": "Zoé"}) == Rendered(
        "Bonjour Zoé, voici tout\u00a0: Zoé.",
        "Bonjour <strong>Zoé</strong>, voici <em>tout</em>\u00a0: <code>Zoé</code>.",
    )
    assert render(FR, "t.two", {"name": "x"}) == Rendered("Un.\n\nDeux x.", "<p>Un.</p><p>Deux x.</p>")
    assert render(FR, "t.lines", {}) == Rendered("Un\ndeux", "Un<br>deux")
    assert render(FR, "t.list", {"name": "x"}) == Rendered(
        "Voici\u00a0:\n• un\n• deux x\n\nFin.",
        "<p>Voici\u00a0:</p><ul><li>un</li><li><strong>deux</strong> x</li></ul><p>Fin.</p>",
    )
    assert render(FR, "t.ordered", {}) == Rendered("1. un\n2. deux", "<ol><li>un</li><li>deux</li></ol>")


def test_only_what_matrix_allows_can_be_written_in_a_catalogue() -> None:
    rendered = render(FR, "t.raw", {})
    assert "<b>gras</b>" in rendered.body
    assert tags(rendered.formatted_body) == [("br", {})]


def test_phrases_make_a_list() -> None:
    items = [
        ("t.bold", {"name": "a"}),
        Reply("t.lines"),
        ("t.group", {"name": "b", "items": [("t.bare", {"name": "c"})]}),
    ]
    assert render(FR, "t.items", {"items": items}) == Rendered(
        "Voici\u00a0:\n• Bonjour a, voici tout\u00a0: a.\n• Un\n  deux\n• b\n  • c\n\nFin.",
        "<p>Voici\u00a0:</p><ul>"
        "<li>Bonjour <strong>a</strong>, voici <em>tout</em>\u00a0: <code>a</code>.</li>"
        "<li>Un<br>deux</li><li><p><strong>b</strong></p><ul><li>c</li></ul></li></ul><p>Fin.</p>",
    )
    assert render(FR, "t.items", {"items": []}) == Rendered(
        "Voici\u00a0:\n\nFin.", "<p>Voici\u00a0:</p><p>Fin.</p>"
    )


def test_a_list_in_a_sentence_is_joined() -> None:
    assert translate(FR, "t.inline", items=["a", "b", "c"]) == "Voici a, b et c."
    assert translate(FR, "t.or", items=["a", "b", "c"]) == "Voici a, b ou c."
    assert (
        translate(EN, "t.inline", items=["a", "b", "c"]) == "Voici a, b and c."
    )  # French where English lacks it
    assert translate(FR, "t.inline", items=[("t.lines", {}), Role.PATIENT]) == "Voici Un\ndeux et patient."
    assert render(FR, "t.inline", {"items": ["{0}", "<b>"]}).formatted_body == "Voici {0} et &lt;b&gt;."


def test_an_optional_phrase_leaves_no_hole() -> None:
    assert render(FR, "t.safety", {"name": "", "safety": ""}) == Rendered("Un.", "<p>Un.</p>")
    assert render(FR, "t.safety", {"name": "x", "safety": ("t.bare", {"name": "y"})}).body == "Un.\n\nx\n\ny"


@pytest.mark.parametrize(
    "url", ["https://hub.example/p?a=1&b=2", "http://127.0.0.1:8080/", "mailto:a@b.example"]
)
def test_a_link_leads_where_the_hub_says(url: str) -> None:
    rendered = render(FR, "t.link", {"url": url})
    assert rendered.body == f"Ouvrez votre page ({url})."
    assert tags(rendered.formatted_body) == [("a", {"href": url})]


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", 'https://x" onclick="y', "data:text/html,x", "//evil", "", "https://a b"]
)
def test_a_link_leads_nowhere_else(url: str) -> None:
    assert tags(render(FR, "t.link", {"url": url}).formatted_body) == []


def test_french_typography_does_not_break_lines() -> None:
    assert (
        translate(FR, "t.french") == "Vraiment\u00a0? «\u00a0oui\u00a0»\u00a0: 10\u00a0%\u00a0; fini\u00a0!"
    )


@pytest.mark.parametrize(
    ("language", "n", "told"),
    [
        (FR, 0, "0 message de x"),
        (FR, 1, "1 message de x"),
        (FR, 2, "2 messages de x"),
        (FR, 1000, "1\u202f000 messages de x"),
        (EN, 0, "0 messages from x"),
        (EN, 1, "1 message from x"),
        (EN, 2, "2 messages from x"),
    ],
)
def test_plural(language: Language, n: int, told: str) -> None:
    assert translate(language, "t.count", n=n, name="x") == told


def test_plural_needs_a_number() -> None:
    with pytest.raises(TypeError, match="whole number"):
        translate(FR, "t.count", n="deux", name="x")


class Colour(StrEnum):
    RED = "red"


def test_mistakes_of_the_author_are_told() -> None:
    with pytest.raises(MissingSentence, match="no\\.such"):
        translate(FR, "no.such")
    with pytest.raises(MissingFact, match="name"):
        translate(FR, "t.bare")
    with pytest.raises(TypeError, match="object"):
        translate(FR, "t.bare", name=object())
    with pytest.raises(TypeError, match="bytes"):
        translate(FR, "t.bare", name=b"secret")
    with pytest.raises(MissingSentence, match=r"colour\.red"):
        translate(FR, "t.bare", name=Colour.RED)


HOSTILE = st.text() | st.text(alphabet="<>&\"'*_`[]()!#-+~\\{}\n\r\t\u202e\u200b\x00@:/.a1", max_size=60)


@given(HOSTILE)
def test_a_fact_is_itself_and_nothing_more(fact: str) -> None:
    seen = safe(fact)
    alone = render(FR, "t.bare", {"name": fact})
    assert alone.body == seen
    assert tags(alone.formatted_body) == []
    assert text(alone.formatted_body) == seen

    dressed = render(FR, "t.bold", {"name": fact})
    assert dressed.body == f"Bonjour {seen}, voici tout\u00a0: {seen}."
    assert [tag for tag, _ in tags(dressed.formatted_body)] == ["strong", "em", "code"]
    assert text(dressed.formatted_body) == dressed.body

    rendered = render(FR, "t.items", {"items": [("t.bare", {"name": fact})]})
    assert [tag for tag, _ in tags(rendered.formatted_body)] == ["p", "ul", "li", "p"]


@given(HOSTILE)
def test_a_hostile_address_makes_no_other_tag(fact: str) -> None:
    for url in (fact, f"https://hub.example/{fact}"):
        found = tags(render(FR, "t.link", {"url": url}).formatted_body)
        assert found in ([], [("a", {"href": safe(url)})])


@given(st.text())
def test_what_is_shown_can_be_sent_and_hides_nothing(shown: str) -> None:
    seen = safe(shown)
    seen.encode()
    assert seen.splitlines() in ([], [seen])
    assert safe(seen) == seen
    assert not set("\x00\u202e\u2066\u200b\ufeff\u2028") & set(seen)


@given(st.text(), st.integers(min_value=1, max_value=80))
def test_an_excerpt_is_short(typed: str, length: int) -> None:
    assert len(excerpt(typed, length)) <= length


def test_an_excerpt_says_that_it_is_one() -> None:
    assert excerpt("a" * 41) == "a" * 39 + "…"
    assert excerpt("  a\n\tb  ") == "a b"
    assert excerpt("x" * 10_000_000, 3) == "xx…"


def test_scripts_that_need_joiners_keep_them() -> None:
    assert safe("می‌خواهم 👩‍⚕️") == "می‌خواهم 👩‍⚕️"
