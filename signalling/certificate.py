"""TLS certificates: checking them, reading them again when they change, making one for a trial."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signalling.domain.expiry import reminder

log = structlog.get_logger(__name__)

RELOAD_INTERVAL_S = 5.0  # Certificates change every few weeks; nobody waits for this.
LAST_DAY = timedelta(days=1)
TRIAL_LIFE = timedelta(days=30)


class CertificateError(Exception):
    """The certificate or key cannot be used. The message is one clear line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What matters of a certificate."""

    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    fingerprint: str
    der: bytes

    def fault(self, *, now: datetime) -> str | None:
        """Says why it is not valid now, or None when it is."""
        if now < self.not_before:
            return f"is not valid before {self.not_before:%Y-%m-%d %H:%M} UTC"
        if now >= self.not_after:
            return f"expired on {self.not_after:%Y-%m-%d %H:%M} UTC"
        return None


def read_certificate(path: Path) -> Certificate:
    """Reads the first certificate of a PEM file.

    Raises:
        CertificateError: the file cannot be read or holds no certificate.
    """
    try:
        leaf = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        raise CertificateError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, IndexError) as error:
        raise CertificateError(f"{path}: holds no certificate in PEM form") from error
    names: tuple[str, ...] = ()
    with contextlib.suppress(x509.ExtensionNotFound):
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns = alternatives.get_values_for_type(x509.DNSName)
        names = (*dns, *(str(ip) for ip in alternatives.get_values_for_type(x509.IPAddress)))
    return Certificate(
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        names=names,
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(":").upper(),
        der=leaf.public_bytes(serialization.Encoding.DER),
    )


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Makes a server's TLS context.

    Raises:
        CertificateError: the files cannot be read, or do not belong together.
    """
    read_certificate(certificate)
    context = _bare_context()
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            raise CertificateError(f"{key}: is not the key of {certificate}") from error
        raise CertificateError(f"{key}: holds no private key in PEM form without password") from error
    except OSError as error:
        raise CertificateError(f"{key}: cannot be read: {error.strerror}") from error
    return context


def _bare_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class LiveCertificate:
    """A TLS context that follows its files. Connections that exist keep what they have.

    Attributes:
        context: what a server listens with. It holds no certificate: each handshake is handed the pair in use, whole,
            so that files that change while they are read never leave a newcomer without a key.
        in_use: the certificate that newcomers see.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._seen = self._stamp()
        self._pair, self.in_use = self._read()
        self.context = _bare_context()
        self.context.sni_callback = self._hand_over

    def reload_if_changed(self) -> bool:
        """Reads the files again when they have changed.

        Returns:
            Whether a new certificate is in use.
        """
        return self._stamp() != self._seen and self.reload()

    def reload(self) -> bool:
        """Reads the files again; keeps the old certificate when the new one is bad.

        Returns:
            Whether what is in the files is in use.
        """
        # Looked at before they are read: what is written meanwhile is a change.
        self._seen = self._stamp()
        try:
            self._pair, self.in_use = self._read()
        except CertificateError as error:
            log.error("certificate not reloaded: the one before stays in use", exc_info=error)
            return False
        log.info("certificate reloaded", days_left=(self.in_use.not_after - datetime.now(UTC)).days)
        return True

    def _read(self) -> tuple[ssl.SSLContext, Certificate]:
        return tls_context(self._certificate, self._key), read_certificate(self._certificate)

    def _hand_over(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Is called for each ClientHello, also for one that names no server."""
        connection.context = self._pair

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        stamps = []
        for path in (self._certificate, self._key):
            with contextlib.suppress(OSError):
                stat = path.stat()
                stamps.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(stamps)


async def follow(
    certificate: LiveCertificate, *, asked: asyncio.Event, on_expiry: Callable[[datetime], object]
) -> None:
    """Takes a new certificate into use when its files change or somebody asks, and reminds of its end.

    Args:
        certificate: the one in use.
        asked: set by whoever wants the files to be read now.
        on_expiry: is told when the certificate in use ends.
    """
    reminded: timedelta | None = None
    while True:
        on_expiry(certificate.in_use.not_after)
        reminded = _remind(certificate.in_use, reminded, now=datetime.now(UTC))
        try:
            await asyncio.wait_for(asked.wait(), RELOAD_INTERVAL_S)
        except TimeoutError:
            certificate.reload_if_changed()
        else:
            asked.clear()
            certificate.reload()


def _remind(certificate: Certificate, before: timedelta | None, *, now: datetime) -> timedelta | None:
    """Says once for each reminder that is due that the certificate ends, and returns the last one."""
    due = reminder(certificate.not_before, certificate.not_after, now=now)
    if due is not None and due != before:
        left = certificate.not_after - now
        level = logging.WARNING if left > LAST_DAY else logging.ERROR
        what = "certificate ends soon: renew it" if left > timedelta(0) else "certificate has ended: renew it"
        log.log(level, what, days_left=left.days)
    return due


def make_trial_certificate(folder: Path, addresses: Iterable[IPv4Address | IPv6Address]) -> tuple[Path, Path]:
    """Writes a self-signed certificate for these addresses and its key, readable only by us.

    Returns:
        The paths of certificate and key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pysfu demo")])
    now = datetime.now(UTC)
    alternatives: list[x509.GeneralName] = [x509.DNSName("localhost")]
    alternatives += [x509.IPAddress(address) for address in dict.fromkeys((ip_address("127.0.0.1"), *addresses))]
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + TRIAL_LIFE)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.touch(mode=0o600)
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_path, key_path


def _no_password() -> str:
    """Keeps OpenSSL from asking on the terminal."""
    return ""
