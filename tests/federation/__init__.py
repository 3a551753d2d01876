"""Two establishments whose homeservers speak to each other, a third that nobody let in, and the hub.

`tests/support/federation.py` starts them once for the session: a real Synapse each, TLS, the closed lists,
and the link between them, which a test may cut.
"""
