"""The scenes of ``parcours demo``, one file each, in the order of ``hub.terminal.demo.SCENES``.

A scene is ``async def play(stage: Stage) -> None``. It speaks through real encrypted clients only, shows what
is said, and raises ``SceneFailed`` when what it promises does not happen.
"""
