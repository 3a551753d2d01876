"""Commands: text becomes a typed call, or a refusal that says what to do.

``addressed`` (parse.py) tells whether a message is for the hub; ``answer`` (answer.py) recognises the
command, authorises it, reads its arguments and runs it. A command is a typed function declared on a
``Bot`` (bot.py): its signature is its grammar, its docstring its help, its permission has no default.

May import: ``hub.errors``, ``hub.locale``, ``hub.care`` (models and services). Never a database driver,
never Matrix.

To add a command: a function in ``bots/``; its English help under ``help:<name>`` in the English
catalogue; the words for its arguments under ``arg:<parameter>`` in both. To add a type of argument: one
``register(...)`` beside that type's bot (see converters.py).
"""
