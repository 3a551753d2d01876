"""Typed settings: ``parcours.toml`` first, then the environment (``PARCOURS_WEB__PORT``) over it.

Everything is checked before anything starts, and every fault is told at once (``hub/config_faults.py``).
A key that nobody reads is a fault too: a misspelt safety setting is worse than none. The master key is no
setting: it comes from ``PARCOURS_MASTER_KEY`` or ``master.key`` in the data folder.

To add a setting: a field here with a default and examples, and its line in ``parcours.toml.example``.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from hub.config_faults import PREFIX, Faults, read
from hub.errors import OperatorError

DEFAULT_FILE = Path("parcours.toml")


def _web_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.query:
        raise ValueError("not a web address")
    return text.rstrip("/")


def _database_url(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().startswith(("sqlite+aiosqlite:///", "postgresql+asyncpg://")):
        raise ValueError("not a database that the hub can use")
    return secret


def _report_url(secret: SecretStr) -> SecretStr:
    parts = urlsplit(secret.get_secret_value())
    if parts.scheme not in {"http", "https"} or not parts.username or not parts.hostname:
        raise ValueError("not a DSN")
    return secret


WebUrl = Annotated[str, AfterValidator(_web_url)]
Port = Annotated[int, Field(ge=0, le=65535)]


class _Table(BaseModel):
    # hide_input_in_errors: a ValidationError that escapes must not print a password.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Homeserver(_Table):
    url: WebUrl | None = Field(default=None, examples=["https://matrix.chu.example"])
    """Where Synapse answers; none: the hub runs its own, embedded."""
    server_name: str = Field(
        default="parcours.localhost",
        pattern=r"^[A-Za-z0-9.-]+(:\d{1,5})?$|^\[[0-9A-Fa-f:]+\](:\d{1,5})?$",
        examples=["chu.example"],
    )
    port: Port = Field(default=8008, examples=[8008])
    """Port of the embedded homeserver; not used with ``url``."""
    registration_secret_path: Path | None = Field(
        default=None, examples=["/etc/parcours/registration-secret"]
    )
    """File with Synapse's ``registration_shared_secret``, to make accounts on the homeserver at ``url``."""

    @model_validator(mode="after")
    def _named(self) -> Homeserver:
        if self.url is not None and "server_name" not in self.model_fields_set:
            raise PydanticCustomError("needs_server_name", "server_name is missing")
        return self


class Hub(_Table):
    localpart: str = Field(default="parcours", pattern=r"^[a-z0-9._=/+-]+$", examples=["parcours"])
    display_name: str = Field(default="Parcours", min_length=1, max_length=100, examples=["Parcours"])


class DatabaseSettings(_Table):
    url: Annotated[SecretStr, AfterValidator(_database_url)] | None = Field(
        default=None,
        examples=[
            "sqlite+aiosqlite:////var/lib/parcours/parcours.db",
            "postgresql+asyncpg://parcours:…@localhost/parcours",
        ],
    )
    """None: SQLite in the data folder. See :meth:`Settings.database_url`."""


class Trust(_Table):
    require_cross_signed: bool = Field(default=True, examples=[True])
    """Only sessions that their owner cross-signed are believed and written to."""
    changed_identity: Literal["refuse", "report"] = Field(default="refuse", examples=["refuse", "report"])
    """When a pinned identity changes: refuse the person until accepted, or only report it."""


class Web(_Table):
    host: str = Field(default="127.0.0.1", min_length=1, examples=["127.0.0.1"])
    port: Port = Field(default=8080, examples=[8080])
    """0 takes any free port."""
    public_url: WebUrl | None = Field(default=None, examples=["https://parcours.chu.example"])
    """The address that people see, when a proxy stands in front."""


class Rooms(_Table):
    version: Literal["10", "11", "12"] = Field(default="11", examples=["11"])


class Delivery(_Table):
    max_attempts: int = Field(default=12, ge=1, le=1000, examples=[12])
    """After so many failures a message is parked for the operator and stops blocking its room."""


class Errors(_Table):
    dsn: Annotated[SecretStr, AfterValidator(_report_url)] | None = Field(
        default=None, examples=["https://…@sentry.chu.example/1"]
    )
    """Where error reports go (Sentry's protocol); none: nowhere."""
    environment: str = Field(default="production", pattern=r"^[a-z0-9-]+$", examples=["production"])


class Log(_Table):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", examples=["INFO", "DEBUG"])
    format: Literal["text", "json"] = Field(default="text", examples=["text", "json"])


class Settings(BaseSettings):
    """The whole configuration; made by :meth:`load`."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        enable_decoding=False,
    )

    data: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())] = Field(
        default=Path("var"), examples=["var"]
    )
    language: Literal["fr", "en"] = Field(default="fr", examples=["fr", "en"])
    homeserver: Homeserver = Homeserver()
    hub: Hub = Hub()
    database: DatabaseSettings = DatabaseSettings()
    trust: Trust = Trust()
    web: Web = Web()
    rooms: Rooms = Rooms()
    delivery: Delivery = Delivery()
    errors: Errors = Errors()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings  # the file's content comes in as the initial values

    @classmethod
    def load(cls, path: Path | None = None) -> Settings:
        """Read ``path`` (else ``parcours.toml`` of the working folder, if there is one) and the environment.

        Raises ``OperatorError("config.invalid", problems=[(key, facts), …])`` with every fault at once.
        """
        file = DEFAULT_FILE if path is None else path
        content, problems = read(file, required=path is not None)
        faults = Faults(cls, file, os.environ)
        problems += faults.of_environment()
        settings = None
        try:
            settings = cls(**content)
        except ValidationError as error:
            problems += faults.of_validation(error)
        if settings is None or problems:
            # Outside the except block: the chained ValidationError holds the values, and some are secret.
            raise OperatorError("config.invalid", status=2, problems=problems)
        return settings

    def database_url(self) -> str:
        """The database's URL, with its password: pass it on, do not print it."""
        if self.database.url is not None:
            return self.database.url.get_secret_value()
        return f"sqlite+aiosqlite:///{self.data / 'parcours.db'}"

    def public_url(self) -> str:
        """The address of the pages as people reach them, without a closing slash."""
        host = f"[{self.web.host}]" if ":" in self.web.host else self.web.host
        return self.web.public_url or f"http://{host}:{self.web.port}"

    def relaxations(self) -> list[str]:
        """Catalogue keys for each safety default that the operator has loosened; the start prints them."""
        relaxed = {
            "relaxed.trust.require_cross_signed": not self.trust.require_cross_signed,
            "relaxed.trust.changed_identity": self.trust.changed_identity != "refuse",
            "relaxed.homeserver.url": _in_the_clear(self.homeserver.url),
            "relaxed.web.public_url": _in_the_clear(self.web.public_url),
            "relaxed.web.host": not _is_loopback(self.web.host),
        }
        return [key for key, is_relaxed in relaxed.items() if is_relaxed]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _in_the_clear(url: str | None) -> bool:
    parts = urlsplit(url or "")
    return parts.scheme == "http" and not _is_loopback(parts.hostname or "")
