"""The hub's words: what it says, in French first and in English for those who chose it.

Lives here: the two catalogues (``fr/`` is the reference, ``en/`` follows it), the reading of them,
the one renderer that turns a key and its facts into plain text and safe HTML, and the names of the emoji that
codes are made of. Everything else in the hub passes keys and facts.

May import: the standard library, Babel and markdown-it. Nothing of the hub.

To add a sentence: add ``msgid "subject.what"`` to both catalogues, in plain words that say what to do
next. ``{name}`` quotes a fact; ``**strong**``, ``*emphasis*``, ```code```, lists and ``[text](url)`` are
understood; ``msgid_plural`` chooses by the fact ``n``. ``{when:date}``, ``{when:time}``, ``{when:short}``
shorten a moment and ``{names:or}`` joins a list with "or". A list of phrases alone in its paragraph
becomes a bulleted list; a paragraph whose only fact is the empty text disappears. French typography
(no break before ``: ; ! ?`` and inside « ») is added on reading.
"""

from hub.locale.language import Language
from hub.locale.render import translate

__all__ = ["Language", "translate"]
