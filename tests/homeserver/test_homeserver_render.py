"""Values become files: what cannot work is refused, secrets are made once and kept to their owner."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub.errors import OperatorError
from hub.homeserver.render import Rendered, render
from hub.homeserver.rules import HOUSE_VERSION
from hub.homeserver.values import HomeserverValues, Postgres, Redis
from hub.homeserver.workers import Duty, Worker, region


def values(folder: Path, **changed: Any) -> HomeserverValues:
    given: dict[str, Any] = {
        "server_name": "sante.example.fr",
        "config_dir": folder / "config",
        "data_dir": folder / "data",
    }
    return HomeserverValues(**(given | changed))


def region_values(folder: Path) -> HomeserverValues:
    return values(
        folder,
        public_url="https://sante.example.fr",
        federation_partners=("ville.example.fr",),
        postgres=Postgres("synapse", "synapse", "pass:word\\", host="base.example.fr"),
        redis=Redis(password="redis-password"),
        workers=region(),
        metrics_port=9100,
    )


NOT_NAMES = [
    "",
    "Sante.example.fr",
    "santé.fr",
    "sante example.fr",
    "sante.fr/x",
    "sante.fr:0",
    "sante.fr:70000",
]
NOT_NAMES += ["a" * 231, "sante.fr\n", "-sante.fr", "x: y", "sante..fr"]


@pytest.mark.parametrize("name", NOT_NAMES)
def test_a_server_name_that_cannot_stand_in_a_user_id_is_refused(tmp_path: Path, name: str) -> None:
    refused(lambda: values(tmp_path, server_name=name), "homeserver.server_name", name=name)
    refused(lambda: values(tmp_path, federation_partners=(name,)), "homeserver.server_name", name=name)


@pytest.mark.parametrize("name", ["localhost", "hub.localhost", "sante.fr:8448", "10.0.0.1", "[::1]:8448"])
def test_an_ordinary_server_name_is_taken(tmp_path: Path, name: str) -> None:
    assert values(tmp_path, server_name=name).server_name == name


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_does_not_exist_is_refused(tmp_path: Path, port: int) -> None:
    refused(lambda: values(tmp_path, port=port), "homeserver.port", port=str(port))
    refused(lambda: Worker("client1", port, 8001), "homeserver.port", port=str(port))
    refused(lambda: Postgres("synapse", "synapse", "x", port=port), "homeserver.port", port=str(port))


def test_one_port_for_two_processes_is_refused(tmp_path: Path) -> None:
    workers = (Worker("client1", 8008, 8009),)
    refused(lambda: values(tmp_path, workers=workers), "homeserver.port_twice", port="8008")


@pytest.mark.parametrize("host", ["", "localhost", "sante.example.fr", "127.0.0.256"])
def test_listening_on_anything_but_an_address_is_refused(tmp_path: Path, host: str) -> None:
    refused(lambda: values(tmp_path, host=host), "homeserver.address", host=host)


@pytest.mark.parametrize(
    "url",
    ["http://sante.example.fr", "ftp://x", "https://", "https://b.fr/?x", "https://b.fr:x", "http://[::1"],
)
def test_an_address_that_would_show_passwords_is_refused(tmp_path: Path, url: str) -> None:
    refused(lambda: values(tmp_path, public_url=url), "homeserver.public_url", url=url.rstrip("/") + "/")


def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    url = "https://alice:mot-de-passe@sante.example.fr"
    refused(lambda: values(tmp_path, public_url=url), "homeserver.public_url", url="https://…/")


def test_listening_on_the_network_without_a_proxy_is_refused(tmp_path: Path) -> None:
    refused(lambda: values(tmp_path, host="192.0.2.1"), "homeserver.public_url", url="http://192.0.2.1:8008/")


def test_a_team_where_two_do_what_one_must_do_is_refused(tmp_path: Path) -> None:
    twice = (
        Worker("one", 8101, 8102, frozenset({Duty.TYPING})),
        Worker("two", 8103, 8104, frozenset({Duty.TYPING})),
    )
    refused(
        lambda: values(tmp_path, workers=twice),
        "homeserver.worker_duty",
        duty="typing",
        workers=["one", "two"],
    )


@pytest.mark.parametrize("name", ["", "main", "Client", "../x", "a b"])
def test_a_worker_whose_name_is_not_one_is_refused(name: str) -> None:
    refused(lambda: Worker(name, 8101, 8102), "homeserver.worker_name", name=name)


def test_a_template_says_what_it_lacks(tmp_path: Path) -> None:
    refused(
        lambda: render("workers", values(tmp_path)),
        "homeserver.incomplete",
        template="workers",
        missing=["postgres", "redis", "workers"],
    )


def test_another_server_name_in_the_same_folder_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    before = render("embedded", values(tmp_path)).config.read_text()
    renamed = values(tmp_path, server_name="autre.example.fr")
    refused(
        lambda: render("embedded", renamed),
        "homeserver.renamed",
        was="sante.example.fr",
        asked="autre.example.fr",
    )
    assert (tmp_path / "config" / "homeserver.yaml").read_text() == before


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file where the folder should be")
    with pytest.raises(OperatorError) as said:
        render("embedded", values(tmp_path))
    assert said.value.code == "homeserver.unwritable"
    assert said.value.facts["path"] == str(tmp_path / "config")


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    files = render("workers", region_values(tmp_path))
    first = contents(files.secrets)
    assert set(first) == {"registration", "macaroon", "form", "replication", "signing.key", "pgpass", "redis"}
    assert len(set(first.values())) == len(first)

    (files.secrets / "form").chmod(0o644)
    render("workers", region_values(tmp_path))
    assert contents(files.secrets) == first

    for path in (tmp_path / "config").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_no_secret_is_in_a_configuration_file(tmp_path: Path) -> None:
    files = render("workers", region_values(tmp_path))
    written = "".join(path.read_text() for path in (tmp_path / "config").rglob("*.yaml"))
    for secret in [*contents(files.secrets).values(), "pass:word", "redis-password"]:
        assert secret.strip() not in written
    assert (files.secrets / "pgpass").read_text() == "*:*:*:*:pass\\:word\\\\\n"
    assert "pass:word" not in repr(region_values(tmp_path))
    assert "redis-password" not in repr(region_values(tmp_path))


def test_a_folder_with_an_odd_name_is_written_as_it_is(tmp_path: Path) -> None:
    odd = tmp_path / 'dossier d\'« été »: "1" {{ x }} #2'
    config = yaml.safe_load(render("embedded", values(odd)).config.read_text())
    assert config["media_store_path"] == f"{odd}/data/media"


def test_only_partners_bring_federation(tmp_path: Path) -> None:
    alone = yaml.safe_load(render("embedded", values(tmp_path / "alone")).config.read_text())
    assert alone["federation_domain_whitelist"] == []
    assert alone["federation_whitelist_endpoint_enabled"] is True
    assert [listener["resources"] for listener in alone["listeners"]] == [[{"names": ["client"]}]]
    assert alone["serve_server_wellknown"] is False
    assert not {"tls_certificate_path", "federation_custom_ca_list", "https_proxy"} & alone.keys()

    among = yaml.safe_load(render("workers", region_values(tmp_path / "among")).config.read_text())
    assert among["federation_domain_whitelist"] == ["ville.example.fr"]
    assert among["listeners"][0]["resources"] == [{"names": ["client", "federation"]}]
    assert among["serve_server_wellknown"] is True


def test_the_policy_knows_the_hubs_and_the_partners(tmp_path: Path) -> None:
    alone = yaml.safe_load(render("embedded", values(tmp_path / "alone")).config.read_text())
    (policy,) = alone["modules"]
    assert policy["config"] == {
        "hubs": ["@parcours:sante.example.fr"],
        "professionals": [],
        "partners": [],
    }
    assert alone["default_room_version"] == HOUSE_VERSION

    hubs = ("@parcours:sante.example.fr", "@parcours:ville.example.fr")
    staff = ("@dr.roche:sante.example.fr",)
    told = values(
        tmp_path / "among", federation_partners=("ville.example.fr",), hubs=hubs, professionals=staff
    )
    (policy,) = yaml.safe_load(render("embedded", told).config.read_text())["modules"]
    assert policy["config"] == {
        "hubs": list(hubs),
        "professionals": list(staff),
        "partners": ["ville.example.fr"],
    }


@pytest.mark.integration
def test_synapse_itself_reads_a_whole_region(tmp_path: Path) -> None:
    files = render("workers", region_values(tmp_path))
    assert yaml.safe_load(files.config.read_text())["enable_media_repo"] is False
    writers = as_synapse_reads(files, "worker.writers", "behind")
    assert "events=['events1', 'events2']" in writers
    assert "quarantined_media_changes=['behind']" in writers


def as_synapse_reads(files: Rendered, key: str, worker: str) -> str:
    """One value of a worker's configuration as the real Synapse understood it, secrets in files only."""
    configs = ["-c", str(files.config), "-c", str(files.workers[worker])]
    read = subprocess.run(
        [sys.executable, "-P", "-m", "synapse.config", "read", key, *configs, "--no-secrets-in-config"],
        cwd=files.secrets,
        capture_output=True,
        text=True,
        check=False,
    )
    assert read.returncode == 0, read.stderr
    return read.stdout


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def refused(act: Callable[[], object], code: str, **facts: object) -> None:
    with pytest.raises(OperatorError) as said:
        act()
    assert (said.value.code, dict(said.value.facts)) == (code, facts)
