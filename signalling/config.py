"""Settings: one TOML file, every key optional, and `PYSFU_*` in the environment. The only reader of either."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyAddress,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from signalling.config_faults import CONFIG_PATH_VARIABLE, ENV_PREFIX, faults_of, read_file, unknown_variables
from signalling.config_faults import ConfigError as ConfigError  # for whoever loads a configuration
from signalling.domain.receivers import MAX_RECEIVERS, receiver_fault
from signalling.tokens import MIN_SECRET_BYTES

DEFAULT_PATH = Path("/etc/pysfu/pysfu.toml")
STATE_PATH = Path("/var/lib/pysfu")
STATE_VARIABLE = "STATE_DIRECTORY"  # systemd sets it to what `StateDirectory=` has made
STORE_NAME = "pysfu.db"
MIN_BEARER_LENGTH = 24  # With letters and digits this is more than 128 random bits.

Port = Annotated[int, Field(ge=1, le=65_535)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class HttpSettings(_Section):
    """Where the HTTP side listens."""

    host: IPvAnyAddress = Field(IPv4Address("127.0.0.1"))
    """Address to listen on; "0.0.0.0" and "::" are every address of this machine, IPv4 and IPv6.
    Anything but a loopback address needs a certificate."""
    port: Port = 8443
    """TCP port to listen on."""
    certificate: Path | None = None
    """PEM file with the certificate and its chain. Read again when it changes."""
    key: Path | None = None
    """PEM file with the private key of the certificate."""
    allowed_origins: tuple[str, ...] = ()
    """Web origins, besides our own, whose pages may call us: "https://care.example.org", or "*" for all."""
    max_body_bytes: int = Field(65_536, ge=1_024, le=1_048_576)
    """Largest request body. An offer of a browser with simulcast has about 12 000 bytes."""
    max_connections: int = Field(2_000, ge=10, le=100_000)
    """Most TCP connections at once; more are answered 503."""

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: set both or none")
        if self.certificate is None and not self.host.is_loopback:
            raise ValueError("without certificate and key, host must be a loopback address such as 127.0.0.1")
        return self

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            scheme, separator, rest = origin.partition("://")
            if origin != "*" and (scheme not in ("https", "http") or not separator or not rest or "/" in rest):
                raise ValueError('an origin is "*" or like "https://care.example.org", with no path')
        return origins


class MediaSettings(_Section):
    """Where media goes in and out, over UDP."""

    host: IPvAnyAddress = Field(IPv4Address("0.0.0.0"))  # noqa: S104 - media must reach us from outside
    """Address to listen on for media; "0.0.0.0" and "::" are every address of this machine, IPv4 and IPv6."""
    port: Port = 7882
    """First UDP port; each worker after the first uses the next one."""
    workers: int = Field(1, ge=1, le=64)
    """Media threads. A room lives on one of them, and a large one on several."""
    room_spread_over: int = Field(100, ge=1)
    """Connections of a room that one media thread takes before the room goes on to another, if there are several."""
    pin_workers: bool = False
    """Whether the first media thread stays on the first processor, the second on the second, and so on. Of use on a
    machine that does nothing else; where the kernel does not allow it, a warning says so."""
    announced_addresses: tuple[IPvAnyAddress, ...] = ()
    """Addresses under which browsers reach us, if they differ from our own: behind 1:1 NAT or in a container."""

    process: Literal["own", "external", "inside"] = "own"
    """Where the media runs. "own": in a process that this server starts, and ends when it is stopped; it outlives a
    crash of this server. "external": in one that systemd starts (pysfu-media.socket); calls go on while this server
    is restarted. "inside": in this server's process, for trials."""
    control_socket: Path | None = None
    """Where that process is controlled; the usual place if not set. Nobody else may write to its folder."""
    orphan_limit_s: float = Field(300.0, ge=1, le=86_400)
    """Seconds that calls go on while no server is there to control them."""
    user: str = "nobody"
    """Whose rights the media process keeps when this server runs as root; only with "own"."""
    max_dtls_version: Literal["1.2", "1.3"] = "1.2"
    """Highest version of DTLS. With "1.3" browsers choose how media is encrypted, and Chromium's first choice takes
    four times the work."""
    aead_only: bool = False
    """Whether media is refused that is not protected by AES-GCM. Every browser agrees on it with DTLS 1.2."""

    @field_validator("announced_addresses")
    @classmethod
    def _reachable(cls, addresses: tuple[IPvAnyAddress, ...]) -> tuple[IPvAnyAddress, ...]:
        for address in addresses:
            fault = address_fault(address)
            if fault is not None:
                raise ValueError(f"{address} {fault}")
        return addresses

    @model_validator(mode="after")
    def _ports(self) -> Self:
        if self.port + self.workers - 1 > 65_535:
            raise ValueError("port + workers goes beyond port 65535")
        return self

    @model_validator(mode="after")
    def _ciphers(self) -> Self:
        if self.aead_only and self.max_dtls_version != "1.2":
            raise ValueError('aead_only needs max_dtls_version = "1.2": with 1.3 Chromium insists on another cipher')
        return self


class AdminSettings(_Section):
    """Who may make rooms and tokens over HTTP."""

    bearer: SecretStr | None = None
    """Secret that an administrating system sends as "Authorization: Bearer …". Without it that API is closed."""

    @field_validator("bearer")
    @classmethod
    def _long(cls, bearer: SecretStr | None) -> SecretStr | None:
        return _long_enough(bearer)


class TokenSettings(_Section):
    """How access tokens are signed."""

    keys: Mapping[str, SecretStr] = Field(default_factory=dict)
    """Issuer = secret, at least 32 bytes each; LiveKit's libraries call the issuer API key. The first one signs, all
    are accepted: to change keys, add one first."""
    max_life_s: int = Field(21_600, ge=60, le=604_800)
    """Longest life of a token, in seconds; one that claims more is refused."""
    life_s: int = Field(600, ge=60, le=604_800)
    """Life of a token when whoever asks for it does not say: it is needed to come in, not to stay."""

    @field_validator("keys")
    @classmethod
    def _strong(cls, keys: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        for secret in keys.values():
            if len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
                raise ValueError(f"each secret needs at least {MIN_SECRET_BYTES} bytes")
        return keys

    @model_validator(mode="after")
    def _lives(self) -> Self:
        if self.life_s > self.max_life_s:
            raise ValueError("life_s must not be more than max_life_s")
        return self


class RoomSettings(_Section):
    """How many, and how large."""

    max_rooms: int = Field(1_000, ge=1, le=100_000)
    """Most rooms at once."""
    max_participants: int = Field(32, ge=1, le=1_000)
    """Most participants in a room that was made without a limit of its own; also the largest such limit."""
    remote_unmute: bool = False
    """Whether an administrating system may have somebody's microphone or camera go on again, not only off."""


class StoreSettings(_Section):
    """Where rooms are kept, so that a restart forgets nobody."""

    path: Path | None = None
    """Database file. If not set: /var/lib/pysfu/pysfu.db under systemd and with /etc/pysfu/pysfu.toml, otherwise
    pysfu.db beside the configuration file. Its folder must be there, on a disk of this machine, and no other server
    may use it."""


class WebhookSettings(_Section):
    """Which systems are told what happens in rooms, by signed webhooks."""

    urls: tuple[str, ...] = Field((), max_length=MAX_RECEIVERS, repr=False)
    """Where to post: "https://care.example.org/hooks"; without TLS only to a loopback address."""
    key: str | None = None
    """Issuer in tokens.keys whose secret signs; the first one if not set. The receiver needs that secret."""
    words: bool = False
    """Whether what others wrote is told, too: names of people and tracks, metadata, attributes. It may be personal."""

    @field_validator("urls")
    @classmethod
    def _private(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for fault in filter(None, map(receiver_fault, urls)):
            raise ValueError(fault)
        return urls


class MetricsSettings(_Section):
    """Who may read `/metrics`."""

    bearer: SecretStr | None = None
    """Secret that the collector sends. Without it only direct connections over loopback may read metrics."""

    @field_validator("bearer")
    @classmethod
    def _long(cls, bearer: SecretStr | None) -> SecretStr | None:
        return _long_enough(bearer)


class LogSettings(_Section):
    """What is written to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is written."""


class ShutdownSettings(_Section):
    """How the server stops."""

    drain_s: float = Field(0.0, ge=0, le=86_400)
    """Seconds in which, after SIGTERM, nobody may join any more, but calls go on; cut short when the last has ended."""
    reconnect: bool = False
    """Whether those whose calls the stop ends are told to connect again, rather than that it is over: for where this
    server or another one takes them in a moment."""
    grace_s: int = Field(5, ge=1, le=600)
    """Seconds that requests in progress get to finish."""


class Settings(BaseSettings):
    """Everything that can be configured."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    http: HttpSettings = Field(default_factory=HttpSettings)
    media: MediaSettings = Field(default_factory=MediaSettings)
    admin: AdminSettings = Field(default_factory=AdminSettings)
    tokens: TokenSettings = Field(default_factory=TokenSettings)
    rooms: RoomSettings = Field(default_factory=RoomSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    shutdown: ShutdownSettings = Field(default_factory=ShutdownSettings)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        announces_loopback = any(address.is_loopback for address in self.media.announced_addresses)
        if announces_loopback and not self.http.host.is_loopback:
            raise ValueError("media.announced_addresses: a loopback address is of no use to those who reach http.host")
        if self.webhooks.urls and not self.tokens.keys:
            raise ValueError("webhooks.urls: what is posted is signed: set tokens.keys")
        if self.webhooks.key is not None and self.webhooks.key not in self.tokens.keys:
            raise ValueError("webhooks.key: it must be an issuer in tokens.keys")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which comes in as arguments. No other source is read."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def load(path: Path | None = None) -> Settings:
    """Reads the file and the environment.

    Args:
        path: the file; otherwise `PYSFU_CONFIG`, or else /etc/pysfu/pysfu.toml if there is one.

    Raises:
        ConfigError: something in it is wrong; every fault is listed.
    """
    faults = list(unknown_variables(os.environ, Settings))
    if faults:
        raise ConfigError(faults)
    chosen = _chosen(path)
    values = read_file(chosen) if chosen is not None else {}
    store = values.setdefault("store", {})
    if isinstance(store, dict):
        store.setdefault("path", _store_path(chosen))
    return build(values)


def build(values: Mapping[str, object]) -> Settings:
    """Makes settings of these values and the environment.

    Raises:
        ConfigError: something in them is wrong; every fault is listed.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(faults_of(error)) from None


def address_fault(address: IPv4Address | IPv6Address) -> str | None:
    """Says why nobody can reach a server announced as `address`, or None if that is not certain."""
    if address.is_unspecified:
        return "means “any address” and cannot be announced"
    if address.is_multicast or address == ip_address("255.255.255.255"):
        return "is not the address of one machine"
    if address.is_link_local:
        return "is link-local and not reachable from other networks"
    return None


def is_exposed(settings: Settings) -> bool:
    """Whether other machines can reach the HTTP side."""
    return not settings.http.host.is_loopback


def _long_enough(bearer: SecretStr | None) -> SecretStr | None:
    if bearer is not None and len(bearer.get_secret_value()) < MIN_BEARER_LENGTH:
        raise ValueError(f"a bearer needs at least {MIN_BEARER_LENGTH} characters")
    return bearer


def _chosen(path: Path | None) -> Path | None:
    """Returns the file to read, if there is any."""
    named = path or (Path(os.environ[CONFIG_PATH_VARIABLE]) if CONFIG_PATH_VARIABLE in os.environ else None)
    return named or (DEFAULT_PATH if DEFAULT_PATH.exists() else None)


def _store_path(chosen: Path | None) -> Path:
    """Returns where rooms are kept if the configuration does not say."""
    if STATE_VARIABLE in os.environ:
        return Path(os.environ[STATE_VARIABLE].partition(":")[0], STORE_NAME)
    if chosen is None:
        return Path(STORE_NAME)
    return STATE_PATH / STORE_NAME if chosen == DEFAULT_PATH else chosen.parent / STORE_NAME
