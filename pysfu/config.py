"""How the media engine runs."""

from __future__ import annotations

from dataclasses import dataclass

from pysfu import messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How the media engine runs; the defaults suit one host with a public address.

    Args:
        bind: local addresses; an unspecified one of a family that the host lacks is skipped with a warning.
        port: UDP port of the first worker, the next worker has the next; 0 takes any free ones.
        announce: addresses that remotes are told, for hosts behind a one-to-one NAT; empty tells those of the host.
        workers: threads that forward media; a room lives on one of them, or on several when it is large.
        room_spread_over: participants of a room beyond which further ones are placed on the next worker, if there are
            several; messages on data channels do not go from one to another.
        pin: whether the n-th worker stays on the n-th processor.
        receive_buffer_bytes: what the kernel keeps for a worker to read.
        send_buffer_bytes: what the kernel keeps for the network to take.
        offload: whether the kernel may cut and join datagrams.
        max_dtls_version: the highest version of DTLS spoken. With 1.3 the client's first encryption of media is taken,
            which in Chromium costs four times what 1.2 agrees on.
        aead_only: whether media is refused that is not protected by AES-GCM (RFC 7714). With DTLS 1.2 every browser
            agrees on it; with 1.3 Chromium does not, and cannot connect.
    """

    bind: tuple[str, ...] = ("0.0.0.0", "::")
    port: int = 0
    announce: tuple[str, ...] = ()
    workers: int = 1
    room_spread_over: int = 100
    pin: bool = False
    receive_buffer_bytes: int = 4 << 20
    send_buffer_bytes: int = 4 << 20
    offload: bool = True
    max_dtls_version: messages.DtlsVersion = "1.2"
    aead_only: bool = False

    def to_message(self) -> messages.DriverConfig:
        """Returns the engine's form of this."""
        return messages.DriverConfig(
            bind=list(self.bind),
            port=self.port,
            announce=list(self.announce),
            workers=self.workers,
            pin=self.pin,
            receive_buffer_bytes=self.receive_buffer_bytes,
            send_buffer_bytes=self.send_buffer_bytes,
            offload=self.offload,
            max_dtls_version=self.max_dtls_version,
            aead_only=self.aead_only,
        )
