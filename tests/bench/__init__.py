"""Speed, as ratios against a bare baseline of the same run. ``make bench``; README.md says how to read it.

__main__.py   the cases, their sizes, the table, the JSON file
figures.py    a measured value and its target
machine.py    where it was measured
stage.py      a homeserver, hubs and people for the cases that need them
raw.py        the baseline: an account spoken for in plain HTTP, 32 sends at once
echo.py       the other side of the baseline, a process of its own
round_trip.py, crowd.py, announcement.py, restart.py, offline.py    one case each
"""
