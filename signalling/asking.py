"""Asking a server that runs on this machine, as its administrator: what the command line needs."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from signalling.certificate import CertificateError, read_certificate
from signalling.config import Settings

TIMEOUT_S = 10.0


class UnansweredError(Exception):
    """There is no good answer. The message is one clear line.

    Attributes:
        gone: whether nobody listens there.
    """

    def __init__(self, message: str, *, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who has the configuration of a server, and so its bearer."""

    settings: Settings

    def ask(self, method: str, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        """Sends a request and returns what is answered.

        Raises:
            UnansweredError: nobody answers, or not what was wanted.
        """
        bearer = self.settings.admin.bearer
        if bearer is None:
            raise UnansweredError("admin.bearer is not set in this configuration: the server takes no orders")
        headers = {"Authorization": f"Bearer {bearer.get_secret_value()}", "Content-Type": "application/json"}
        try:
            opened = self._connection()
        except CertificateError as error:
            raise UnansweredError(f"http.certificate: {error}") from error
        with contextlib.closing(opened) as connection:
            try:
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (ConnectionError, http.client.RemoteDisconnected) as error:
                raise UnansweredError(f"no server answers at {self._where()}", gone=True) from error
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise UnansweredError(f"{self._where()}: {error}") from error
        if response.status >= http.client.BAD_REQUEST:
            told = ": ".join(str(answer[part]) for part in ("title", "detail") if part in answer)
            raise UnansweredError(f"{self._where()} answers {response.status}: {told}")
        return dict(answer)

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._host(), self.settings.http.port
        if self.settings.http.certificate is None:
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        # It is asked by its address, which its certificate need not name: only that very certificate is trusted, not
        # those that come with it in the file, whose owners have signed others, too.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=read_certificate(self.settings.http.certificate).der)
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)

    def _host(self) -> str:
        host = self.settings.http.host
        loopback = {4: "127.0.0.1", 6: "::1"}[host.version]
        return loopback if host.is_unspecified else str(host)

    def _where(self) -> str:
        host = ip_address(self._host())
        return f"[{host}]:{self.settings.http.port}" if host.version == 6 else f"{host}:{self.settings.http.port}"
