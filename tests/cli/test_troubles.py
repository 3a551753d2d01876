"""What goes wrong under a running hub is told in words, and not at each attempt."""

from __future__ import annotations

import pytest

from hub.cli import troubles
from hub.cli.troubles import Troubles
from hub.observe import Log, errors_heard


def test_a_full_disk_is_told_once_in_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log("hub.test")
    with errors_heard(Troubles({"database": "hub.db", "path": "keys"})):
        log.error("inbox.not_answered", reason="database.full")
        log.error("outbox.unwritable", reason="database.full")
        log.error("sync.failed", reason="TimeoutError")
        assert capsys.readouterr().err.count("hub.db") == 1
        log.error("outbox.unwritable", reason="matrix.store_unwritable")
        assert "keys" in capsys.readouterr().err
        monkeypatch.setattr(troubles, "AGAIN_SECONDS", 0)
        log.error("inbox.not_answered", reason="database.full")
        assert "hub.db" in capsys.readouterr().err
    log.error("inbox.not_answered", reason="database.full")
    assert capsys.readouterr().err == ""
