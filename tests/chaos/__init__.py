"""Everything around the hub fails, again and again; nothing is lost, nothing is said twice.

    test_kill.py             the hub is killed at any moment, while it starts as well
    test_homeserver_gone.py  the homeserver is stopped, or killed, and comes back
    test_bad_network.py      429, 502, silence, half answers, resets, slow ones, before and after the work
    test_database_away.py    the database is locked by others, its connections end, its server restarts
    test_full_disk.py        no room left on the disk, or a quota reached, while the hub runs
    test_clock.py            the clock jumps by hours, both ways
    test_hostile.py          thousands of malformed, forged and replayed events, to-device messages, keys
    test_lost.py             the key store is lost, the token runs out

    crowd.py      people who talk meanwhile, and the judgement: each command answered once, in order
    malice.py     what a hostile member or homeserver may send, by seed
    scale.py      how much: the short form of ``make test``, the long one of ``make chaos``
    tally.py      what each case tried and what came of it: shown in the end, written by ``make chaos``

A case asks for the fixture ``tally`` and counts the faults that it brought about; ``Crowd.judge`` counts the
commands.
"""
