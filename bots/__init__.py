"""The bots: one module a theme, each command one typed function.

A module makes a ``bot = Bot("theme")`` and declares commands on it; a command checks nothing twice, calls
one use case of ``hub.care``, and answers with a key and facts. Its rules are in
``hub/care/<feature>/model.py``, its words in ``hub/locale``.

May import: ``hub.commands``, the services and models of ``hub.care``, ``hub.locale.Language``. To add a
bot: a module here, its title under ``bot.<name>`` in both catalogues, and its name in ``hub/wiring.py``.
"""
