"""One POST of a webhook: to the address as it was written, within a time, following nothing."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import aiohttp

from signalling.webhooks.receiver import NotTakenError

MEDIA_TYPE = "application/webhook+json"
TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=5)
_LATER = frozenset({408, 425, 429})


class Poster:
    """Posts to every receiver, over connections that are kept for the next time."""

    async def __aenter__(self) -> Self:
        """Opens nothing yet."""
        # Certificates are checked against those that this machine trusts, as operators can add to. Neither cookies
        # nor the proxies of the environment are used: what is told goes nowhere but to the address configured.
        self._session = aiohttp.ClientSession(
            timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, headers={"User-Agent": "pysfu"}
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes all connections."""
        await self._session.close()

    async def post(self, url: str, body: bytes, *, signature: str) -> None:
        """Posts a body once.

        Raises:
            NotTakenError: it was not answered, or with something else than success.
        """
        headers = {"Authorization": signature, "Content-Type": MEDIA_TYPE}
        try:
            # A redirect may lead anywhere, and an answer may have any length: neither is followed or read.
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotTakenError(type(error).__name__, again=True) from error
        if not 200 <= status < 300:
            raise NotTakenError(str(status), again=status in _LATER or (status >= 500 and status != 501))
