"""What an operator who edits parcours.toml sees."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from hub.config import Settings
from hub.errors import OperatorError

EXAMPLE = Path(__file__).parents[1] / "parcours.toml.example"

Problems = dict[str, tuple[str, Mapping[str, object]]]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty working folder, and no setting in the environment."""
    for name in os.environ:
        if name.upper().startswith("PARCOURS_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(text: str) -> Path:
    file = Path("parcours.toml")
    file.write_text(text, encoding="utf-8")
    return file


def problems(path: Path | None = None) -> Problems:
    """The faults by their key (or their file)."""
    with pytest.raises(OperatorError) as caught:
        Settings.load(path)
    assert caught.value.code == "config.invalid"
    assert caught.value.__cause__ is caught.value.__context__ is None  # pydantic's error holds the values
    found = caught.value.facts["problems"]
    assert isinstance(found, list)
    return {str(facts.get("key", facts.get("file"))): (code, facts) for code, facts in found}


def test_without_a_file_the_defaults_are_safe(tmp_path: Path) -> None:
    settings = Settings.load()
    assert settings.data == tmp_path / "var"
    assert settings.database_url() == f"sqlite+aiosqlite:///{tmp_path}/var/parcours.db"
    assert settings.homeserver.url is None
    assert settings.trust.require_cross_signed
    assert settings.trust.changed_identity == "refuse"
    assert settings.web.host == "127.0.0.1"
    assert settings.public_url() == "http://127.0.0.1:8080"
    assert settings.relaxations() == []


def test_the_example_is_the_defaults_and_names_every_setting() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert Settings.load(EXAMPLE) == Settings.load()
    uncommented = re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE)
    given = tomllib.loads(uncommented)
    everything = Settings.load(write(uncommented))
    assert given.keys() == Settings.model_fields.keys()
    for name, value in given.items():
        if isinstance(value, dict):
            assert value.keys() == type(getattr(everything, name)).model_fields.keys()
    examples = {
        "homeserver": {"url", "registration_secret_path"},
        "database": {"url"},
        "web": {"public_url"},
        "errors": {"dsn"},
    }
    defaults = Settings()
    for table in Settings.model_fields:
        if table in {"data", "language"}:
            assert getattr(everything, table) == getattr(defaults, table)
        else:
            hidden = examples.get(table, set())
            assert getattr(everything, table).model_dump(exclude=hidden) == getattr(
                defaults, table
            ).model_dump(exclude=hidden)


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    file = write('language = "fr"\n[web]\nport = 8090\nhost = "::1"\n')
    monkeypatch.setenv("PARCOURS_LANGUAGE", "en")
    monkeypatch.setenv("PARCOURS_WEB__PORT", "8091")
    monkeypatch.setenv("PARCOURS_MASTER_KEY", "not a setting")
    monkeypatch.setenv("PARCOURS_TRUST__REQUIRE_CROSS_SIGNED", "false")
    monkeypatch.setenv("PARCOURS_HUB__LOCALPART", "")  # empty: as if absent
    settings = Settings.load(file)
    assert settings.language == "en"
    assert settings.public_url() == "http://[::1]:8091"
    assert not settings.trust.require_cross_signed
    assert settings.hub.localpart == "parcours"


def test_every_fault_is_told_at_once_with_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        """
        dta = "x"
        web = 3
        [databse]
        url = "x"
        [homeserver]
        url = "https://someone:hunter2@matrix.example"
        [trust]
        requir_cross_signed = false
        max_attempts = 3
        changed_identity = "ignore"
        [rooms]
        version = 11
        colour = "blue"
        """
    )
    monkeypatch.setenv("PARCOURS_LOG__LEVEL", "LOUD")
    monkeypatch.setenv("PARCOURS_ROOM__VERSION", "11")
    monkeypatch.setenv("PARCOURS_HUB", "x")
    found = problems()

    assert found["dta"] == (
        "config.unknown_key",
        {"where": "parcours.toml", "key": "dta", "nearest": "data"},
    )
    assert found["databse"][1]["nearest"] == "database"
    assert found["trust.requir_cross_signed"][1]["nearest"] == "trust.require_cross_signed"
    assert found["trust.max_attempts"][1]["nearest"] == "delivery.max_attempts"
    assert found["rooms.colour"] == (
        "config.unknown_key_far",
        {"where": "parcours.toml", "key": "rooms.colour", "known": ["rooms.version"]},
    )
    assert found["web"] == ("config.not_a_table", {"where": "parcours.toml", "key": "web"})
    assert found["trust.changed_identity"] == (
        "config.wrong_value",
        {
            "where": "parcours.toml",
            "key": "trust.changed_identity",
            "found": '"ignore"',
            "write": ['changed_identity = "refuse"', 'changed_identity = "report"'],
        },
    )
    assert found["rooms.version"][1]["write"] == ['version = "11"']
    assert found["homeserver.url"][1]["found"] == '"https://…@matrix.example"'
    assert found["log.level"] == (
        "config.wrong_value",
        {
            "where": "PARCOURS_LOG__LEVEL",
            "key": "log.level",
            "found": "LOUD",
            "write": ["PARCOURS_LOG__LEVEL=INFO", "PARCOURS_LOG__LEVEL=DEBUG"],
        },
    )
    assert found["PARCOURS_ROOM__VERSION"][1]["nearest"] == "PARCOURS_ROOMS__VERSION"
    assert found["PARCOURS_HUB"][0] == "config.unknown_key_far"
    assert len(found) == 12


def test_a_homeserver_elsewhere_needs_its_name() -> None:
    write('[homeserver]\nurl = "https://matrix.chu.example"\n')
    assert problems()["homeserver.server_name"][0] == "config.missing"
    write('[homeserver]\nurl = "https://matrix.chu.example/"\nserver_name = "chu.example"\n')
    assert Settings.load().homeserver.url == "https://matrix.chu.example"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert problems(tmp_path / "other.toml")[str(tmp_path / "other.toml")][0] == "config.file_missing"
    assert problems(tmp_path)[str(tmp_path)][0] == "config.file_unreadable"
    assert problems(write("language = fr\n"))["parcours.toml"][1]["line"] == 1
    assert problems(write('language = "fr"\nweb = [[\n'))["parcours.toml"] == (
        "config.file_syntax",
        {"file": "parcours.toml", "line": 2},
    )
    Path("parcours.toml").write_bytes(b'language = "\xff"')
    assert problems()["parcours.toml"][0] == "config.file_encoding"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("PARCOURS_DATABASE__URL", "mysql://parcours:hunter2@db/parcours"),
        ("PARCOURS_ERRORS__DSN", "hunter2"),
    ],
)
def test_a_wrong_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch, setting: str, value: str) -> None:
    monkeypatch.setenv(setting, value)
    found = problems()
    assert [code for code, _ in found.values()] == ["config.wrong_secret"]
    assert "hunter2" not in repr(found)


def test_secrets_are_not_shown() -> None:
    settings = Settings.load(
        write(
            '[database]\nurl = "postgresql+asyncpg://parcours:hunter2@db/parcours"\n'
            '[errors]\ndsn = "https://hunter2@sentry.example/1"\n'
        )
    )
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.database_url() == "postgresql+asyncpg://parcours:hunter2@db/parcours"


def test_what_is_relaxed_is_said() -> None:
    settings = Settings.load(
        write(
            """
            homeserver = { url = "http://matrix.example", server_name = "example" }
            trust = { require_cross_signed = false, changed_identity = "report" }
            web = { host = "0.0.0.0", public_url = "http://parcours.example" }
            """
        )
    )
    assert settings.relaxations() == [
        "relaxed.trust.require_cross_signed",
        "relaxed.trust.changed_identity",
        "relaxed.homeserver.url",
        "relaxed.web.public_url",
        "relaxed.web.host",
    ]


def test_a_local_homeserver_and_a_local_page_need_no_tls() -> None:
    settings = Settings.load(
        write(
            """
            homeserver = { url = "http://127.0.0.1:8008", server_name = "example" }
            web = { host = "localhost", public_url = "http://parcours.localhost:8080" }
            """
        )
    )
    assert settings.relaxations() == []
