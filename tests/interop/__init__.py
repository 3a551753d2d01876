"""The hub and other Matrix clients: what lives here talks to it through a real homeserver, never by import.

`js.py` drives matrix-js-sdk with its Rust crypto, the engine of Element Web (`npm ci` in this folder installs
it); the fixture `people` in `conftest.py` makes its users. Another client is another driver beside `js.py`.
"""
