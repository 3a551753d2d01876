"""The pages: what a browser, a load balancer and Prometheus may ask of the hub.

    app.py        the aiohttp application: routes, and what surrounds every request
    page.py       the type of a page; features hand over a list of them
    shell.py      what every HTML answer has: the reader's language, the frame, the style sheet
    home.py       the first page: what this is, how to sign in, where help is
    operations.py /health and /metrics
    guard.py      security headers and error pages
    access.py     the access log, without words
    server.py     listens and stops

May import: aiohttp, Jinja2, ``hub.config``, ``hub.errors``, ``hub.locale``, ``hub.observe``. A page of a
feature is ``care/<feature>/pages.py``; its sentences stand in the catalogues, its style in ``clients/web``.
Pages work without a script, load nothing from elsewhere, and never have a word about a person in their
address.
"""

from hub.web.server import serve

__all__ = ["serve"]
