"""The command line: serve, drain, migrate, demo, check-config, sample-config, doctor, token."""

from __future__ import annotations

import asyncio
import gc
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, NoReturn

import structlog
import typer

from signalling import config, keeping, logs, server
from signalling.addresses import outgoing_addresses
from signalling.asking import Administrator, UnansweredError
from signalling.certificate import make_trial_certificate, read_certificate
from signalling.config import STORE_NAME, ConfigError, Settings
from signalling.demo import PAGE_PREFIX, Demo, routes
from signalling.doctor import NOT_CHECKED, Grade, examine, this_machine
from signalling.domain.durations import duration_of
from signalling.domain.grants import Source
from signalling.domain.ids import ParticipantId, RoomId
from signalling.domain.room import refusal_of_name
from signalling.http.errors import PROBLEMS
from signalling.http.rooms import new_participant
from signalling.listening import check_media_ports
from signalling.sample import sample
from signalling.server import WorkerHungError
from signalling.tokens import InvalidTokenError, RefusedTokenError, TokenRequest, Tokens

log = structlog.get_logger(__name__)

EXIT_UNDONE = 1
EXIT_HUNG = 1
EXIT_CONFIG = 2
EXIT_BROKEN = 3

DRAIN_LOOK_S = 1.0
DRAIN_LOOKS = 30  # A server that hangs is gone long before, as README.md says.
ROUNDED_S = 0.1  # What is left is told in tenths of seconds.

app = typer.Typer(
    help="A self-hosted video server.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)

ConfigPath = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file; otherwise PYSFU_CONFIG or /etc/pysfu/pysfu.toml.")
]


@app.command()
def serve(config_path: ConfigPath = None) -> None:
    """Runs the server until SIGTERM or SIGINT."""
    settings = _load(config_path)
    logs.configure(level=settings.log.level)
    _run(server.serve(settings, server.pysfu_engine, on_start=typer.echo))


@app.command()
def drain(
    deadline_s: Annotated[float, typer.Option(min=0, max=86_400, help="Seconds after which calls are ended.")] = 3_600,
    cancel: Annotated[bool, typer.Option("--cancel", help="Call it off: everything as before.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when it is over; 1 if it is called off or cut short.")
    ] = False,
    config_path: ConfigPath = None,
) -> None:
    """Has the server on this machine let nobody in, and stop when the last call has ended or the deadline comes."""
    running = Administrator(_load(config_path))
    wanted: dict[str, object] = {"deadline_s": deadline_s}
    asked = time.monotonic()
    try:
        answer = running.ask("DELETE", "/drain") if cancel else running.ask("POST", "/drain", wanted)
        try:
            typer.echo(_drain_line(answer))
            if wait and not cancel:
                _wait_for_the_end(running, answer, asked=asked)
        except KeyboardInterrupt:
            if answer["draining"]:
                typer.echo("pysfu: waits no longer; the drain goes on (`pysfu drain --cancel` calls it off)", err=True)
            raise
    except UnansweredError as error:
        typer.echo(f"pysfu: {error}", err=True)
        raise typer.Exit(EXIT_UNDONE) from None


@app.command()
def migrate(config_path: ConfigPath = None) -> None:
    """Makes the database or brings it to what this version needs, as the server does when it starts."""
    settings = _load(config_path)
    try:
        asyncio.run(keeping.migrate(settings))
    except ConfigError as error:
        _fail(error)
    typer.echo(f"{keeping.path_of(settings)} is what this version needs.")


@app.command()
def demo(
    lan: Annotated[bool, typer.Option("--lan", help="Also for other machines in your network, over HTTPS.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="TCP port.")] = 8443,
    media_port: Annotated[int, typer.Option(min=1, max=65_535, help="UDP port for media.")] = 7882,
) -> None:
    """Runs a trial meeting with a page for browsers. Not for real meetings: whoever has the link comes in."""
    logs.configure(level="warning")
    running = Demo()
    extension = server.Extension(routers=(routes(running),), page_prefix=PAGE_PREFIX)
    with tempfile.TemporaryDirectory(prefix="pysfu-demo-") as folder:
        kept = Path(folder)  # also the demo's rooms, which end with it
        settings = _lan_settings(kept, port, media_port) if lan else _local_settings(kept, port, media_port)

        def on_start(started: server.Started) -> None:
            typer.echo(started)
            _print_links(settings, running)

        _run(server.serve(settings, server.pysfu_engine, extension, on_start=on_start))


@app.command()
def check_config(config_path: ConfigPath = None) -> None:
    """Reads the configuration and says what is wrong with it."""
    settings = _load(config_path)
    try:
        server.tls(settings)
        asyncio.run(keeping.check(settings))
    except ConfigError as error:
        _fail(error)
    typer.echo("The configuration is good.")


@app.command()
def sample_config() -> None:
    """Prints a configuration file with every setting, its default and its meaning."""
    typer.echo(sample(), nl=False)


@app.command()
def doctor(
    config_path: ConfigPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Looks for what keeps calls from working. Exit status: 0 good, 1 warnings, 2 something is bad."""
    findings = examine(_load(config_path), this_machine())
    worst = max(finding.grade for finding in findings)
    if as_json:
        listed = [{"check": f.check, "grade": f.grade.name.lower(), "text": f.text} for f in findings]
        report = {"grade": worst.name.lower(), "findings": listed, "not_checked": NOT_CHECKED}
        typer.echo(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        signs = {Grade.GOOD: "ok  ", Grade.WARNING: "warn", Grade.BAD: "BAD "}
        for finding in findings:
            typer.echo(f"{signs[finding.grade]}  {finding.check}: {finding.text}")
        typer.echo(f"      not checked: {NOT_CHECKED}")
    raise typer.Exit(int(worst))


@app.command()
def token(
    room: Annotated[str, typer.Option(help="Id of the room.")],
    identity: Annotated[
        str | None, typer.Option(help="Opaque id of the participant, never a name; made up when left out.")
    ] = None,
    name: Annotated[str, typer.Option(help="What others see them called; whoever has the token can read it.")] = "",
    can_publish: Annotated[bool, typer.Option(help="Whether it allows to send.")] = True,
    sources: Annotated[
        str | None, typer.Option(help=f"Of what, if not of everything: some of {','.join(Source)}.")
    ] = None,
    can_publish_data: Annotated[bool, typer.Option(help="Whether it allows to send messages.")] = False,
    can_subscribe: Annotated[bool, typer.Option(help="Whether it allows to receive.")] = True,
    valid_for: Annotated[
        str | None, typer.Option(help="For how long they may come in: 90s, 10m, 6h; otherwise tokens.life_s.")
    ] = None,
    config_path: ConfigPath = None,
) -> None:
    """Makes a token with the first configured key, and prints it."""
    settings = _load(config_path)
    if not settings.tokens.keys:
        _fail(ConfigError(["tokens.keys: no key is configured, so no running server would accept the token"]))
    if identity is not None and (refusal := refusal_of_name(identity)) is not None:
        _fail(ConfigError([f"--identity: {PROBLEMS[refusal].title} ({refusal.value})"]))
    keys = {issuer: secret.get_secret_value().encode() for issuer, secret in settings.tokens.keys.items()}
    wish = TokenRequest(
        participant=ParticipantId(identity or new_participant()),
        room=RoomId(room),
        name=name,
        can_publish=can_publish,
        sources=_sources(sources),
        can_publish_data=can_publish_data,
        can_subscribe=can_subscribe,
        life=timedelta(seconds=settings.tokens.life_s) if valid_for is None else _life(valid_for),
    )
    try:
        signer = Tokens(keys, max_life=timedelta(seconds=settings.tokens.max_life_s))
        typer.echo(signer.mint(wish, now=datetime.now(UTC)))
    except RefusedTokenError:
        _fail(ConfigError([f"--valid-for: tokens.max_life_s allows at most {settings.tokens.max_life_s}s"]))
    except InvalidTokenError as error:
        _fail(ConfigError([error.fault]))


def _sources(listed: str | None) -> frozenset[Source] | None:
    if listed is None:
        return None
    try:
        return frozenset(Source(source) for source in listed.split(","))
    except ValueError:
        _fail(ConfigError([f"--sources: some of {','.join(Source)}, with commas between them"]))


def _life(text: str) -> timedelta:
    life = duration_of(text)
    if life is None:
        _fail(ConfigError(["--valid-for: a number and its unit, such as 90s, 10m, 6h or 1d"]))
    return life


def _wait_for_the_end(running: Administrator, answer: dict[str, Any], *, asked: float) -> None:
    """Follows a drain until the server has stopped, and says so.

    Args:
        running: whom to ask.
        answer: what it answered when it was asked to drain.
        asked: when that was.

    Raises:
        UnansweredError: the server does not answer, or is gone for another reason than the drain.
    """
    while answer["draining"]:
        deadline, calls = asked + answer["seconds_left"] - ROUNDED_S, answer["calls_left"]
        try:
            time.sleep(DRAIN_LOOK_S)  # the server answers at once, and is asked again
            asked = time.monotonic()
            answer = running.ask("GET", "/drain")
        except UnansweredError as error:
            if not error.gone:
                raise
            if calls and time.monotonic() < deadline:
                raise UnansweredError(f"the server was gone before the drain was over; calls left: {calls}") from None
            _wait_until_ports_are_free(running.settings)
            typer.echo(f"The server has stopped; calls ended: {calls}." if calls else "The server has stopped.")
            return
        if answer["calls_left"] != calls or not answer["draining"]:
            typer.echo(_drain_line(answer))
    raise typer.Exit(EXIT_UNDONE)


def _wait_until_ports_are_free(settings: Settings) -> None:
    """Waits until another server can start: this one hears no requests any more, but may still end its rooms.

    Raises:
        UnansweredError: none can.
    """
    if settings.media.process == "external":
        return  # those ports stay where they are, in a process that goes on
    taken: ConfigError | None = None
    for _ in range(DRAIN_LOOKS):
        try:
            check_media_ports(settings)
        except ConfigError as error:
            taken = error
            time.sleep(DRAIN_LOOK_S)  # nobody tells when a port is free
        else:
            return
    raise UnansweredError(f"the server is gone, but something of it runs on: {taken}")


def _drain_line(answer: dict[str, Any]) -> str:
    if not answer["draining"]:
        return "The server takes calls."
    return f"Nobody new comes in; calls left: {answer['calls_left']}, seconds left: {answer['seconds_left']:.0f}."


def _load(path: Path | None) -> Settings:
    try:
        return config.load(path)
    except ConfigError as error:
        _fail(error)


def _fail(error: ConfigError) -> NoReturn:
    for fault in error.faults:
        typer.echo(f"pysfu: {fault}", err=True)
    raise typer.Exit(EXIT_CONFIG)


def _run(main: Coroutine[object, object, None]) -> None:
    """Runs the event loop, on uvloop where there is one."""
    factory = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    # What the program is made of stays. To look through it with all that has come since holds the loop up for longer
    # than anything else does; and while many join, that happens again and again.
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main)
    except ConfigError as error:
        _fail(error)
    except WorkerHungError as error:
        typer.echo(f"pysfu: {error}", err=True)
        raise typer.Exit(EXIT_HUNG) from None
    except Exception as error:
        # In the log, without its words: those may quote anything.
        log.critical("server broke", exc_info=error)
        typer.echo("pysfu: stopped by a fault of its own; the log says where: please report it", err=True)
        raise typer.Exit(EXIT_BROKEN) from None


def _local_settings(folder: Path, port: int, media_port: int) -> Settings:
    # Firefox passes over loopback addresses of others, so it is told where this machine is in its network, too.
    media = {"port": media_port, "announced_addresses": [ip_address("127.0.0.1"), *outgoing_addresses()]}
    return _demo_settings(folder, {"port": port}, media)


def _lan_settings(folder: Path, port: int, media_port: int) -> Settings:
    addresses = outgoing_addresses()
    if not addresses:
        _fail(ConfigError(["--lan: this machine has no address in a network"]))
    certificate, key = make_trial_certificate(folder, addresses)
    host = "::" if any(address.version == 6 for address in addresses) else "0.0.0.0"  # noqa: S104 - that is what --lan asks for
    http = {"host": host, "port": port, "certificate": certificate, "key": key}
    return _demo_settings(folder, http, {"port": media_port, "announced_addresses": addresses})


def _demo_settings(folder: Path, http: dict[str, object], media: dict[str, object]) -> Settings:
    """Makes settings that take nothing from a file: a trial must work as it comes, and leave nothing running."""
    media = {"process": "inside"} | media
    try:
        tokens, store = {"keys": {"demo": secrets.token_hex(32)}}, {"path": folder / STORE_NAME}
        return config.build({"http": http, "media": media, "tokens": tokens, "store": store})
    except ConfigError as error:
        _fail(error)


def _print_links(settings: Settings, running: Demo) -> None:
    typer.echo("Open this link in a browser, and in a second one; it lets in whoever has it:")
    for host in _link_hosts(settings):
        scheme = "https" if settings.http.certificate else "http"
        typer.echo(f"  {scheme}://{host}:{settings.http.port}{PAGE_PREFIX}#k={running.key}")
    if settings.http.certificate:
        typer.echo(
            "The browser will warn of the certificate, which was made just now. Go on if its SHA-256 fingerprint is"
        )
        typer.echo(f"  {read_certificate(settings.http.certificate).fingerprint}")
    typer.echo("Stop with Ctrl-C.")


def _link_hosts(settings: Settings) -> list[str]:
    addresses = [settings.http.host] if settings.http.host.is_loopback else settings.media.announced_addresses
    return [f"[{a}]" if a.version == 6 else str(a) for a in addresses]


if __name__ == "__main__":
    app()
