"""Bridges: one folder a neighbour system (secure mail, directories, shared records). None yet.

    client.py   the wire: the neighbour's protocol, and nothing of ours
    mapping.py  its values ↔ ours, pure
    bridge.py   a port of the core, implemented with the two

May import: ``hub.care`` (ports, use cases), ``hub.errors``, ``hub.observe``, aiohttp. A bridge enters at the
use cases and leaves by the outbox; it never calls another. Beside a fake stands a contract test that the real
neighbour passes too. To add one: the folder, and its line in ``hub/wiring.py``.
"""
