"""The ``parcours`` command line, one module a theme.

    app.py           the application, its language, how errors are told
    up.py            ``parcours up``
    talk.py          ``parcours demo``, ``parcours chat``
    people.py        ``parcours account``
    identity.py      ``parcours identity``
    keys.py          ``parcours keys``
    verify.py        ``parcours identity verify``
    upkeep.py        ``parcours db``, ``parcours config``
    doctor.py        ``parcours doctor``
    parked.py        ``parcours parked``

May import everything. A command reads its arguments and calls what does the work; what it tells people comes
from the catalogues. To add one: a function here under ``@cli.command``, its sentences under ``cli.*``.
"""
