"""`pysfu doctor`, on machines made up for it."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from ports import families, free_port, taken_port
from typer.testing import CliRunner

from signalling import config
from signalling.certificate import make_trial_certificate
from signalling.cli import app
from signalling.config import Settings
from signalling.doctor import Finding, Grade, Machine, examine, this_machine
from signalling.echo import EchoCall, EchoTest, Failure
from signalling.media import EngineStartError

HEARD = EchoCall(address="127.0.0.1:7882", round_trip=timedelta(microseconds=412), protection="DTLS 1.2, GCM")
PUBLIC = ip_address("198.18.0.5")
MACHINE = Machine(
    now=datetime.now(UTC),
    synchronised=True,
    interfaces={"eth0": PUBLIC, "docker0": ip_address("172.18.0.1"), "lo": ip_address("127.0.0.1")},
    outgoing=[PUBLIC],
    kernel=lambda _: 16 * 1024 * 1024,
    open_files=65_536,
    call=lambda _: EchoTest(calls=[HEARD]),
    reach=lambda _: None,
)


def settings(**sections: dict[str, object]) -> Settings:
    http = {"port": free_port()} | sections.pop("http", {})
    media = {"host": "127.0.0.1", "port": free_port(socket.SOCK_DGRAM), "announced_addresses": [str(PUBLIC)]}
    media |= sections.pop("media", {})
    return config.build({"http": http, "media": media, **sections})


def findings(check: str, settings: Settings, machine: Machine = MACHINE) -> list[Finding]:
    return [finding for finding in examine(settings, machine) if finding.check == check]


@pytest.mark.parametrize(
    ("address", "grade", "word"),
    [
        ("172.17.0.1", Grade.BAD, "container bridge"),
        ("172.18.0.1", Grade.BAD, "container bridge"),
        ("127.0.0.1", Grade.WARNING, "only from this machine"),
        ("203.0.113.7", Grade.WARNING, "1:1 NAT"),
        ("8.8.8.8", Grade.WARNING, "1:1 NAT"),
    ],
)
def test_an_announced_address_that_few_can_reach_is_pointed_out(address: str, grade: Grade, word: str) -> None:
    (found,) = findings("media.announced_addresses", settings(media={"announced_addresses": [address]}))
    assert found.grade is grade
    assert word in found.text


def test_an_address_of_this_machine_that_all_can_reach_is_good() -> None:
    own = ip_address("8.8.8.8")
    machine = replace(MACHINE, interfaces={"eth0": own}, outgoing=[own])
    (found,) = findings("media.announced_addresses", settings(media={"announced_addresses": [str(own)]}), machine)
    assert found.grade is Grade.GOOD


def test_without_any_address_in_a_network_nothing_can_be_announced() -> None:
    machine = replace(MACHINE, interfaces={}, outgoing=[])
    nowhere = settings(media={"announced_addresses": [], "host": "0.0.0.0"})
    assert findings("media.announced_addresses", nowhere, machine)[0].grade is Grade.BAD


def test_a_port_in_use_is_found_for_tcp_and_udp() -> None:
    for section, kind in (("http", socket.SOCK_STREAM), ("media", socket.SOCK_DGRAM)):
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind(("127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                taken.listen()
            (found,) = findings(f"{section}.port", settings(**{section: {"port": taken.getsockname()[1]}}))
        assert found.grade is Grade.WARNING
        assert "in use" in found.text


@pytest.mark.parametrize("family", families(), ids=str)
@pytest.mark.parametrize("section", ["http", "media"])
def test_a_port_in_use_is_found_in_both_families_where_the_server_binds_both(
    family: socket.AddressFamily, section: str, tmp_path: Path
) -> None:
    certificate, key = make_trial_certificate(tmp_path, [PUBLIC])
    kind = socket.SOCK_STREAM if section == "http" else socket.SOCK_DGRAM
    with taken_port(family, kind) as taken:
        if kind == socket.SOCK_STREAM:
            taken.listen()
        for host in ("0.0.0.0", "::"):
            sections: dict[str, dict[str, object]] = {"http": {"certificate": certificate, "key": key}}
            sections.setdefault(section, {}).update(host=host, port=taken.getsockname()[1])
            found = findings(f"{section}.port", settings(**sections))
            assert sorted(finding.grade for finding in found) == [Grade.GOOD] * (len(families()) - 1) + [Grade.WARNING]


def test_a_clock_that_nothing_keeps_right_is_a_warning_and_one_of_which_nothing_is_known_is_none() -> None:
    machines = {known: replace(MACHINE, synchronised=known) for known in (True, None, False)}
    graded = {known: findings("clock", settings(), machine)[0] for known, machine in machines.items()}
    assert [finding.grade for finding in graded.values()] == [Grade.GOOD, Grade.GOOD, Grade.WARNING]
    assert "run chrony or systemd-timesyncd" in graded[False].text
    assert this_machine().synchronised in (True, False, None)


def test_a_certificate_is_checked_for_key_names_and_days_left(tmp_path: Path) -> None:
    certificate, key = make_trial_certificate(tmp_path / "a", [PUBLIC])
    _, other = make_trial_certificate(tmp_path / "b", [PUBLIC])
    good = settings(http={"certificate": certificate, "key": key})
    mismatched = settings(http={"certificate": certificate, "key": other})
    assert findings("certificate", good)[0].grade is Grade.GOOD
    assert str(PUBLIC) in findings("certificate", good)[0].text
    assert "is not the key" in findings("certificate", mismatched)[0].text
    late = replace(MACHINE, now=MACHINE.now + timedelta(days=20))
    assert findings("certificate", good, late)[0].grade is Grade.WARNING
    assert "expired" in findings("certificate", good, replace(MACHINE, now=MACHINE.now + timedelta(days=31)))[0].text


def test_small_buffers_few_files_and_a_wrong_clock_are_found() -> None:
    poor = replace(MACHINE, now=datetime(1970, 1, 2, tzinfo=UTC), kernel=lambda _: 212_992, open_files=256)
    grades = {finding.check: finding.grade for finding in examine(settings(), poor)}
    assert grades["clock"] is Grade.BAD
    assert grades["udp buffers"] is Grade.WARNING
    assert grades["open files"] is Grade.WARNING


def test_a_call_that_works_is_told_with_its_round_trip_and_the_port_it_took() -> None:
    (found,) = findings("echo call", settings())
    assert (found.grade, found.text) == (
        Grade.GOOD,
        "127.0.0.1:7882: sound was back after 0.4 ms, over DTLS 1.2, GCM",
    )
    busy = replace(MACHINE, call=lambda _: EchoTest(calls=[HEARD], own_port_fault="cannot bind it"))
    (found,) = findings("echo call", settings(media={"port": 7_999}), busy)
    assert "(not port 7999: cannot bind it)" in found.text


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure.UNREACHABLE, "no way to it from here (no route)"),
        (Failure.PORT_CLOSED, "the UDP port is closed there"),
        (Failure.NO_ANSWER, "no answer on UDP within 4 s"),
        (Failure.NO_HANDSHAKE, "DTLS did not finish"),
        (Failure.WRONG_CERTIFICATE, "another server answers"),
        (Failure.NO_MEDIA, "no sound came back"),
    ],
)
def test_a_call_that_fails_says_at_which_step_and_what_to_do(failure: Failure, words: str) -> None:
    for address, grade in ((f"{PUBLIC}:7882", Grade.BAD), ("[2001:db8::7]:7882", Grade.WARNING)):
        calls = [EchoCall(address=address, failure=failure, reason="no route")]
        machine = replace(MACHINE, call=lambda _, calls=calls: EchoTest(calls=calls))
        (found,) = findings("echo call", settings(), machine)
        assert found.grade is grade
        assert found.text.startswith(f"{address}: ")
        assert words in found.text
        assert ": " in found.text.removeprefix(f"{address}: "), "it also says what to do"


def test_an_engine_that_does_not_start_is_no_call() -> None:
    def call(_: Settings) -> EchoTest:
        raise EngineStartError("cannot bind UDP 192.0.2.9:7882")

    (found,) = findings("echo call", settings(), replace(MACHINE, call=call))
    assert found.grade is Grade.BAD
    assert "cannot bind UDP 192.0.2.9:7882" in found.text


def test_the_exit_status_is_that_of_the_worst_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalling.cli.this_machine", lambda: MACHINE)
    path = tmp_path / "pysfu.toml"
    path.write_text(f'[http]\nport = {free_port()}\n[media]\nannounced_addresses = ["172.17.0.1"]\n')
    result = CliRunner().invoke(app, ["doctor", "--json", "-c", str(path)])
    report = json.loads(result.stdout)
    assert (result.exit_code, report["grade"]) == (2, "bad")
    assert "from outside" in report["not_checked"]
    assert CliRunner().invoke(app, ["doctor", "-c", str(path)]).stdout.count("BAD ") == 1


def test_a_store_that_cannot_be_used_is_pointed_out_and_one_that_can_is_left_unmade(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "pysfu.db"
    for path, grade, words in (
        (missing, Grade.BAD, "there is no folder"),
        (tmp_path / "a.db", Grade.GOOD, "can be used"),
    ):
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("PYSFU_STORE__PATH", str(path))
            (found,) = findings("store.path", settings())
        assert found.grade is grade
        assert words in found.text
        assert not path.exists()


def test_a_receiver_of_webhooks_that_cannot_be_reached_is_pointed_out_by_its_number() -> None:
    urls = ["https://care.example.org/secret", "https://other.example.org/secret"]
    hooks = settings(webhooks={"urls": urls}, tokens={"keys": {"k": "s" * 32}})
    machine = replace(MACHINE, reach=lambda url: "Connection refused" if "other" in url else None)
    good, bad = findings("webhooks.urls", hooks, machine)
    assert (good.grade, good.text) == (Grade.GOOD, "receiver 1 can be reached")
    assert (bad.grade, bad.text) == (Grade.BAD, "receiver 2 cannot be reached: Connection refused")


def test_a_receiver_is_reached_where_something_listens_whose_certificate_is_trusted(tmp_path: Path) -> None:
    reach = this_machine().reach
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert reach(f"http://127.0.0.1:{port}/hooks") is None
    assert reach(f"http://127.0.0.1:{port}/hooks") == "Connection refused"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*make_trial_certificate(tmp_path, [ip_address("127.0.0.1")]))
    with socket.create_server(("127.0.0.1", 0)) as listener, context.wrap_socket(listener, server_side=True) as tls:
        answering = threading.Thread(target=_refused_by, args=(tls,))
        answering.start()
        fault = reach(f"https://127.0.0.1:{tls.getsockname()[1]}/hooks")
        answering.join()
    assert fault is not None
    assert fault.startswith("this machine does not trust its certificate: ")


def _refused_by(tls: ssl.SSLSocket) -> None:
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        tls.accept()
