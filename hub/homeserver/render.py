"""Templates and values become the files Synapse reads.

Every call writes the configuration anew; secrets and the signing key are made once and then left alone.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import jinja2
from signedjson.key import generate_signing_key, write_signing_keys

from hub.errors import OperatorError
from hub.homeserver import files
from hub.homeserver.values import HomeserverValues
from hub.homeserver.workers import having, writers

TEMPLATES = Path(__file__).parents[2] / "homeserver-config"

Template = Literal["embedded", "single-host", "workers"]


@dataclass(frozen=True)
class Rendered:
    """Where the files are: the configuration, the log, the secrets, a configuration per worker."""

    config: Path
    log: Path
    secrets: Path
    workers: Mapping[str, Path]

    @property
    def registration_secret(self) -> str:
        """What `accounts.register` proves itself with."""
        return (self.secrets / "registration").read_text().strip()


def render(template: Template, values: HomeserverValues) -> Rendered:
    """Write ``homeserver.yaml``, the log configurations, the workers' files and whatever secret is missing.

    Raises `OperatorError`: ``homeserver.incomplete`` when the template needs what the values lack,
    ``homeserver.renamed`` when these folders belong to another server name, ``homeserver.unwritable``,
    ``homeserver.templates_missing`` when the program was installed without its templates.
    """
    if not TEMPLATES.is_dir():
        raise OperatorError("homeserver.templates_missing", path=str(TEMPLATES))
    _refuse_incomplete(template, values)
    try:
        return _render(template, values)
    except OSError as error:
        raise OperatorError("homeserver.unwritable", path=error.filename or str(values.config_dir)) from error


def _render(template: Template, values: HomeserverValues) -> Rendered:
    secrets_dir = values.config_dir / "secrets"
    logs = values.data_dir / "logs"
    for folder in (values.config_dir, values.data_dir, secrets_dir, logs):
        files.private_folder(folder)
    _refuse_another_name(values)
    _make_secrets(secrets_dir, values)

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=False,  # noqa: S701 YAML, not HTML: values pass through `tojson`, which YAML reads as it is
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "server_name": values.server_name,
        "public_url": values.base_url,
        "host": values.host,
        "port": values.port,
        "metrics_port": values.metrics_port,
        "metrics": {values.metrics_port, *(worker.metrics_port for worker in values.workers)} != {None},
        "replication_port": values.replication_port if template == "workers" else None,
        "behind_proxy": values.behind_proxy,
        "serves_own_name": bool(values.federation_partners) and values.serves_own_name,
        "resources": values.resources,
        "loopback": values.loopback,
        "federation_partners": values.federation_partners,
        "hubs": values.hubs or (f"@parcours:{values.server_name}",),
        "professionals": values.professionals,
        "data_dir": str(values.data_dir),
        "secret": lambda name: str(secrets_dir / name),
        "postgres": values.postgres,
        "redis": values.redis,
        "workers": values.workers,
        "writers": writers(values.workers),
        "having": partial(having, values.workers),
    }

    def write(path: Path, name: str, process: str, **context: object) -> Path:
        """One process's configuration, and its log's."""
        log_config = path.with_suffix(".log.yaml")
        log = str(logs / f"{process}.log")
        files.write(log_config, environment.get_template("log.yaml.j2").render(log_file=log))
        files.write(path, environment.get_template(name).render(log_config=str(log_config), **context))
        return path

    main = "workers/homeserver.yaml.j2" if template == "workers" else f"{template}.yaml.j2"
    config = write(values.config_dir / "homeserver.yaml", main, "homeserver")
    workers = {}
    if template == "workers":
        folder = values.config_dir / "workers"
        files.private_folder(folder)
        for worker in values.workers:
            path = folder / f"{worker.name}.yaml"
            workers[worker.name] = write(path, "workers/worker.yaml.j2", worker.name, worker=worker)
    return Rendered(config, logs / "homeserver.log", secrets_dir, workers)


def _refuse_incomplete(template: Template, values: HomeserverValues) -> None:
    missing = []
    if template != "embedded" and values.postgres is None:
        missing.append("postgres")
    if template == "workers" and values.redis is None:
        missing.append("redis")
    if template == "workers" and not values.workers:
        missing.append("workers")
    if missing:
        raise OperatorError("homeserver.incomplete", template=template, missing=missing)


def _refuse_another_name(values: HomeserverValues) -> None:
    """Accounts and rooms carry the name: a server that changed it would find none of them."""
    record = values.config_dir / "server-name"
    files.write_once(record, values.server_name + "\n")
    first = record.read_text().strip()
    if first != values.server_name:
        raise OperatorError("homeserver.renamed", was=first, asked=values.server_name)


def _make_secrets(folder: Path, values: HomeserverValues) -> None:
    for name in ("registration", "macaroon", "form", "replication"):
        files.write_once(folder / name, secrets.token_urlsafe(48) + "\n")
    key = io.StringIO()
    write_signing_keys(key, [generate_signing_key("a_" + secrets.token_hex(3))])
    files.write_once(folder / "signing.key", key.getvalue())
    if values.postgres is not None:
        password = values.postgres.password.replace("\\", "\\\\").replace(":", "\\:")
        files.write(folder / "pgpass", f"*:*:*:*:{password}\n")
    if values.redis is not None and values.redis.password is not None:
        files.write(folder / "redis", values.redis.password + "\n")
