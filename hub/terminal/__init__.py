"""People at a terminal: real encrypted clients, for the demonstration, for ``parcours chat``, and for tests.

    cast.py      who plays: the demonstration's accounts
    person.py    one of them, signed in: says, hears
    chat.py      ``parcours chat``: a small client for whoever has no Element at hand
    demo.py      ``parcours demo``: plays the scenes against a hub and shows the conversation
    scenes/      one file a scene; each capability of the hub adds its own

May import: ``hub.matrix``, ``hub.locale``, ``hub.seal``. To add a scene: a module in ``scenes/`` with
``async def play(stage)``, and its line in ``demo.SCENES``.
"""
