"""How the hub is: the checks behind ``parcours doctor`` and behind ``/metrics``, which are the same.

    finding.py   what a check finds: its outcome, how bad that is, the facts beside it
    judge.py     the rules: figures → finding, pure
    patient.py   who is examined: a hub that runs, or what one left on disk
    checks.py    the checks, as data: a name, a function, the checks it needs
    examine.py   one examination: each check by itself, whatever happens to the others
    gauges.py    findings → metrics; the rounds that a running hub makes

A check looks and changes nothing: it makes no key, no database, no session. May import everything but care,
commands and delivery's letters. To add a check: a function and its line in ``checks.CHECKS``, its rule in
``judge``, its outcomes in ``finding.OUTCOMES``, and in both catalogues its title ``doctor.<check>`` and a
sentence ``doctor.<check>.<outcome>`` each, which says what to do; a figure worth a graph is one line in
``gauges.FIGURES``.
"""
