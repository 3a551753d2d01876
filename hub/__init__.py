"""The hub: everything that a message passes through. ``README.md`` beside this file is its design.

Start reading at ``flow.py`` (the way of a message), then ``wiring.py`` (how it is joined).
"""
