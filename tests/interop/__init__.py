"""The hub and other Matrix clients, who talk to it through a real homeserver and know nothing else of it.

The tests import the hub only to enrol people, to accept identities, to compare sentences, and for what no
command does yet: to invite with the past of a room.

`js.py` drives matrix-js-sdk with its Rust crypto, the engine of Element Web (`npm ci` in this folder installs
it); the fixture `people` in `conftest.py` makes its users. Another client is another driver beside `js.py`.
"""
