"""What Debian's simple-whip-client publishes, aiortc decodes; `tests/browser/test_whip_client.py` asks Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest
import simple_whip
from callers import Caller, Meeting


@pytest.fixture(scope="session")
def whip_client_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return simple_whip.environment(tmp_path_factory.mktemp("whip_client"))


@pytest.mark.parametrize("codec", simple_whip.CODECS)
async def test_what_simple_whip_client_publishes_is_decoded(
    room: Meeting, codec: str, whip_client_environment: dict[str, str], tmp_path: Path
) -> None:
    token = await room.token("encoder")
    url = str(room.http.base_url.join(f"/whip/{room.room}"))
    log = tmp_path / "whip-client.log"
    with simple_whip.publishing(url, token, codec, whip_client_environment, log):
        await room.joined("encoder")
        async with Caller(lambda frame: frame.to_ndarray(format="gray").astype(int)) as subscriber:
            await room.play(subscriber.take("video", "audio"), "encoder")
            await subscriber.watched(30)
            assert abs(await subscriber.heard() - 440) <= 2
            first, last = subscriber.pictures[0], subscriber.pictures[-1]
            assert first.shape == (120, 160)
            assert abs(first - last).max() > 100, "the ball moves"
