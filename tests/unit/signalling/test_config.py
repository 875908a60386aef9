"""Settings and the command line: every mistake gets one clear line and exit status 2."""

from __future__ import annotations

import json
import re
import socket
import tomllib
from ipaddress import ip_address
from pathlib import Path

import pytest
from ports import free_port
from typer.testing import CliRunner

from signalling import config, server
from signalling.certificate import make_trial_certificate
from signalling.cli import app
from signalling.config import ConfigError, Settings
from signalling.sample import sample

SAMPLE = Path(config.__file__).parent / "ops" / "pysfu.sample.toml"


def write(folder: Path, text: str) -> Path:
    path = folder / "pysfu.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_sample_in_the_repository_is_the_one_made_from_the_settings() -> None:
    assert SAMPLE.read_text(encoding="utf-8") == sample()


def test_the_sample_with_every_default_uncommented_is_the_default_configuration(tmp_path: Path) -> None:
    text = re.sub(r"^# ([a-z_]+ = (?!.*…).*)$", r"\1", sample(), flags=re.MULTILINE)
    text = re.sub(r"^(certificate|key|control_socket|path) = .*$", "", text, flags=re.MULTILINE)
    assert len([value for section in tomllib.loads(text).values() for value in section]) > 12
    assert config.load(write(tmp_path, text)) == Settings()


def test_every_setting_says_what_it_means() -> None:
    for section in Settings.model_fields.values():
        model = section.annotation
        assert model is not None
        assert model.__doc__
        assert all(field.description for field in getattr(model, "model_fields").values())  # noqa: B009


def test_settings_cannot_be_changed_and_show_no_secret() -> None:
    settings = config.build({"admin": {"bearer": "b" * 30}, "tokens": {"keys": {"k": "s" * 32}}})
    with pytest.raises(ValueError, match="frozen"):
        settings.http.port = 1  # type: ignore[misc]
    assert "b" * 30 not in repr(settings)
    assert "s" * 32 not in repr(settings)


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSFU_HTTP__PORT", "9443")
    monkeypatch.setenv("PYSFU_CONFIG", str(write(tmp_path, "[http]\nport = 1\nmax_connections = 50\n")))
    http = config.load().http
    assert (http.port, http.max_connections) == (9443, 50)


MISTAKES = [
    ("[http]\nprot = 1", "http.prot: there is no such setting"),
    ("[htp]\nport = 1", "htp: there is no such setting"),
    ("[http]\nport = 0", "http.port: Input should be greater than or equal to 1"),
    ("[http]\nport = ", "is not TOML"),
    ('[http]\nhost = "0.0.0.0"', "http: without certificate and key, host must be a loopback address"),
    ('[http]\ncertificate = "c.pem"', "http: certificate and key belong together"),
    ('[http]\nallowed_origins = ["care.example.org"]', "http.allowed_origins: an origin is"),
    ('[media]\nannounced_addresses = ["0.0.0.0"]', "media.announced_addresses: 0.0.0.0 means"),
    ('[media]\nannounced_addresses = ["fe80::1"]', "media.announced_addresses: fe80::1 is link-local"),
    ('[media]\nannounced_addresses = ["video.example.org"]', "media.announced_addresses.0: "),
    ("[media]\nport = 65535\nworkers = 2", "media: port + workers goes beyond"),
    ('[media]\naead_only = true\nmax_dtls_version = "1.3"', 'media: aead_only needs max_dtls_version = "1.2"'),
    ('[admin]\nbearer = "short-canary"', "admin.bearer: a bearer needs at least 24 characters"),
    ('[tokens]\nkeys = { k = "short-canary" }', "tokens.keys: each secret needs at least 32 bytes"),
    ("[tokens]\nlife_s = 600\nmax_life_s = 60", "tokens: life_s must not be more than max_life_s"),
    ('[webhooks]\nurls = ["care.example.org/canary"]', "webhooks.urls: a receiver is like"),
    ('[webhooks]\nurls = ["https://care.example.org:canary/"]', "webhooks.urls: a receiver is like"),
    (
        '[webhooks]\nurls = ["https://u:canary@care.example.org/"]',
        "webhooks.urls: the address of a receiver has neither",
    ),
    (
        '[webhooks]\nurls = ["http://care.example.org/canary"]',
        "webhooks.urls: a receiver on another machine needs https",
    ),
    (
        '[webhooks]\nurls = ["https://care.example.org/canary"]',
        "webhooks.urls: what is posted is signed: set tokens.keys",
    ),
    ('[webhooks]\nkey = "canary"', "webhooks.key: it must be an issuer in tokens.keys"),
]


@pytest.mark.parametrize(("text", "line"), MISTAKES, ids=[line for _, line in MISTAKES])
def test_a_mistake_in_the_file_gets_one_clear_line_and_exit_status_2(tmp_path: Path, text: str, line: str) -> None:
    result = CliRunner().invoke(app, ["check-config", "--config", str(write(tmp_path, text))])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert line in result.stderr
    assert "canary" not in result.stderr


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("PYSFU_HTPP__PORT", "1", "PYSFU_HTPP__PORT is not a setting"),
        ("PYSFU_HTTP__PROT", "1", "[http] has no key prot"),
        ("PYSFU_HTTP__PORT", "many", "http.port: Input should be a valid integer"),
        ("PYSFU_HTTP", "{", "environment: PYSFU_HTTP must hold JSON"),
        ("PYSFU_CONFIG", "/nowhere/pysfu.toml", "/nowhere/pysfu.toml: cannot be read"),
    ],
)
def test_a_mistake_in_the_environment_gets_one_clear_line_and_exit_status_2(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, line: str
) -> None:
    monkeypatch.setenv(variable, value)
    result = CliRunner().invoke(app, ["check-config"])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert line in result.stderr


def test_a_key_of_another_certificate_is_found_by_check_config(tmp_path: Path) -> None:
    certificate, _ = make_trial_certificate(tmp_path / "a", [ip_address("192.0.2.1")])
    _, other_key = make_trial_certificate(tmp_path / "b", [ip_address("192.0.2.1")])
    path = write(tmp_path, f'[http]\ncertificate = "{certificate}"\nkey = "{other_key}"')
    result = CliRunner().invoke(app, ["check-config", "-c", str(path)])
    assert result.exit_code == 2
    assert "is not the key of" in result.stderr


@pytest.mark.parametrize(("section", "kind"), [("http", socket.SOCK_STREAM), ("media", socket.SOCK_DGRAM)])
def test_a_taken_port_stops_the_start_with_one_clear_line_and_exit_status_2(
    tmp_path: Path, section: str, kind: socket.SocketKind
) -> None:
    with socket.socket(socket.AF_INET, kind) as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        free.bind(("127.0.0.1", 0))
        ports = {"http": free.getsockname()[1], section: taken.getsockname()[1]}
        free.close()
        if kind == socket.SOCK_STREAM:
            taken.listen()
        text = "\n".join(f'[{name}]\nhost = "127.0.0.1"\nport = {port}' for name, port in ports.items())
        result = CliRunner().invoke(app, ["serve", "-c", str(write(tmp_path, text))])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert f"{section}.port: cannot listen on 127.0.0.1 port {ports[section]}" in result.stderr


def test_a_fault_of_our_own_ends_the_server_with_exit_status_3_and_is_told_without_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ExceptionGroup("parts", [RuntimeError("Anna Andersson")])

    monkeypatch.setattr(server, "serve", broken)
    result = CliRunner().invoke(app, ["serve", "-c", str(write(tmp_path, "[http]\nport = 9443\n"))])
    assert result.exit_code == 3
    log, told = result.stderr.splitlines()
    assert json.loads(log)["error"] == "ExceptionGroup(RuntimeError)"
    assert told == "pysfu: stopped by a fault of its own; the log says where: please report it"
    assert "Anna" not in result.output


def test_a_good_configuration_is_said_to_be_good(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check-config", "-c", str(write(tmp_path, "[http]\nport = 9443\n"))])
    assert (result.exit_code, result.stdout) == (0, "The configuration is good.\n")


def test_sample_config_prints_the_sample() -> None:
    assert CliRunner().invoke(app, ["sample-config"]).stdout == sample()


def test_a_loopback_address_cannot_be_announced_to_other_machines(tmp_path: Path) -> None:
    certificate, key = make_trial_certificate(tmp_path, [])
    http = {"host": "0.0.0.0", "certificate": certificate, "key": key}
    with pytest.raises(ConfigError, match=r"^media\.announced_addresses: a loopback address is of no use"):
        config.build({"http": http, "media": {"announced_addresses": ["127.0.0.1"]}})


def test_a_config_error_lists_every_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        config.build({"http": {"port": 0, "max_body_bytes": 1}, "rooms": {"max_rooms": 0}})
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize(
    ("state", "chosen", "expected"),
    [
        ("/var/lib/other:/var/lib/more", "beside", "/var/lib/other/pysfu.db"),
        (None, "beside", "{folder}/pysfu.db"),
        (None, "default", "/var/lib/pysfu/pysfu.db"),
        (None, None, "pysfu.db"),
    ],
)
def test_rooms_are_kept_in_the_folder_of_systemd_or_else_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str | None, chosen: str | None, expected: str
) -> None:
    monkeypatch.delenv("PYSFU_STORE__PATH")
    if state is not None:
        monkeypatch.setenv("STATE_DIRECTORY", state)
    path = write(tmp_path, "[http]\nport = 9443\n")
    monkeypatch.setattr(config, "DEFAULT_PATH", path if chosen == "default" else tmp_path / "missing.toml")
    loaded = config.load(path if chosen == "beside" else None)
    assert loaded.store.path == Path(expected.format(folder=tmp_path))


def test_a_place_in_the_configuration_wins_over_that_of_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYSFU_STORE__PATH")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/other")
    assert config.load(write(tmp_path, '[store]\npath = "/srv/rooms.db"\n')).store.path == Path("/srv/rooms.db")


def test_a_store_that_cannot_be_used_is_found_by_check_config_and_stops_the_start(tmp_path: Path) -> None:
    ports = f'[http]\nport = {free_port()}\n[media]\nhost = "127.0.0.1"\nport = {free_port(socket.SOCK_DGRAM)}\n'
    missing = tmp_path / "missing" / "pysfu.db"
    for command in ("check-config", "serve", "migrate"):
        environment = {"PYSFU_STORE__PATH": str(missing)}
        result = CliRunner().invoke(app, [command, "-c", str(write(tmp_path, ports))], env=environment)
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert line == f"pysfu: store.path: {missing}: cannot be made: there is no folder {missing.parent}"


@pytest.mark.parametrize(
    "url",
    ["https://care.example.org/hooks?for=2", "http://localhost:8080", "http://127.0.0.1/", "http://[::1]:9/hooks"],
)
def test_webhooks_are_posted_over_tls_or_to_this_machine_and_their_addresses_are_not_shown(url: str) -> None:
    settings = config.build({"webhooks": {"urls": [url]}, "tokens": {"keys": {"k": "s" * 32}}})
    assert settings.webhooks.urls == (url,)
    assert url not in repr(settings)
    assert not settings.webhooks.words, "nothing that anybody wrote goes anywhere by itself"


def test_more_receivers_than_there_may_be_are_refused() -> None:
    urls = [f"https://care.example.org/{number}" for number in range(9)]
    with pytest.raises(ConfigError, match=r"^webhooks\.urls: .*at most 8"):
        config.build({"webhooks": {"urls": urls}, "tokens": {"keys": {"k": "s" * 32}}})
