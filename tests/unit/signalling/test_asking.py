"""The command line asks the server of this machine, which holds the administrator's bearer, and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import ADMIN, settings
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ports import free_port

from signalling.asking import Administrator, UnansweredError

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\nConnection: close\r\n\r\n{"draining": false}'


@dataclass(frozen=True)
class Authority:
    """Who signs certificates, ours and those of others."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def issue(self, name: str) -> tuple[Path, Path]:
        """Writes a full chain, as certificate authorities hand them out, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = signed_by(self.key, key, name=name, issuer="authority", is_authority=False)
        chain, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        chain.write_bytes(
            b"".join(made.public_bytes(serialization.Encoding.PEM) for made in (signed, self.certificate))
        )
        form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
        return chain, secret


def signed_by(
    signer: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePrivateKey, *, name: str, issuer: str, is_authority: bool
) -> x509.Certificate:
    named, by = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, issuer)]
    return (
        x509.CertificateBuilder(issuer_name=by, subject_name=named, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(tmp_path, key, signed_by(key, key, name="authority", issuer="authority", is_authority=True))


@contextlib.asynccontextmanager
async def listening(chain: Path, key: Path) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answers whoever asks; yields the port, and what it was told."""
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    context, port = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), free_port()
    context.load_cert_chain(chain, key)
    async with await asyncio.start_server(answer, "127.0.0.1", port, ssl=context):
        yield port, heard


def asked(chain: Path, key: Path, port: int) -> dict[str, object]:
    http = {"port": port, "certificate": chain, "key": key}
    return Administrator(settings(http=http)).ask("GET", "/drain")


async def test_the_server_with_the_configured_certificate_is_asked(authority: Authority) -> None:
    ours = authority.issue("ours")
    async with listening(*ours) as (port, heard):
        assert await asyncio.to_thread(asked, *ours, port) == {"draining": False}
    assert f"Bearer {ADMIN}".encode() in heard[0]


async def test_whoever_has_another_certificate_of_the_same_authority_is_told_nothing(authority: Authority) -> None:
    ours, theirs = authority.issue("ours"), authority.issue("theirs")
    async with listening(*theirs) as (port, heard):
        with pytest.raises(UnansweredError, match="certificate verify failed"):
            await asyncio.to_thread(asked, *ours, port)
    assert heard == []


@pytest.mark.parametrize("text", [None, "", "not a certificate"])
def test_a_certificate_that_cannot_be_read_is_one_clear_line(authority: Authority, text: str | None) -> None:
    chain, key = authority.issue("ours")
    if text is None:
        chain.unlink()
    else:
        chain.write_text(text)
    with pytest.raises(
        UnansweredError, match=r"^http\.certificate: \S+ours\.pem: (cannot be read|holds no certificate)"
    ):
        asked(chain, key, free_port())
