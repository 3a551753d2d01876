"""Synapse, the Matrix homeserver: its configuration, its life beside the hub, its accounts.

What lives here
    ``embedded.py``  one Synapse as a child of the hub, on loopback, with SQLite
    ``federated.py`` two of them, a hospital and a city practice; ``link.py`` the network between them
    ``accounts.py``  accounts made and freed of limits through Synapse's admin API
    ``render.py``    the templates of ``homeserver-config/`` and an operator's values, as files Synapse reads
    ``values.py``    those values; ``workers.py`` who does what in a homeserver of several processes;
                     ``checks.py`` what cannot work; ``files.py`` how the files are written
    ``policy.py``    the module that Synapse loads; ``rules.py`` decides for it, ``roles.py`` tells it who is
                     a professional
    ``child.py``     a Synapse process born, answering, ended; ``pidfile.py`` what an earlier start left;
                     ``_launch.py`` the few lines that make the child die with the hub

May import ``hub.errors``, ``hub.observe``, Jinja2, signedjson, trustme, aiohttp's client. Never Synapse
itself: it is another process, and its import installs another event loop. ``policy.py`` lives in that
process: nothing imports it, and it imports nothing of ours but the rules and the catalogues. Nothing here
imports nio: that is ``hub.matrix``.

To change a setting: edit the template that holds it in ``homeserver-config/`` and write the reason beside it;
what all installations share stands once, in ``homeserver-config/shared/``.
"""
