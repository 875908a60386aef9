"""What Debian's simple-whip-client publishes, Chromium sees and hears by WHEP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import simple_whip
from browser_lab import until

if TYPE_CHECKING:
    from browser_lab import Place
    from conftest import OpenTab

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return simple_whip.environment(tmp_path_factory.mktemp("whip_client"))


@pytest.mark.parametrize("codec", simple_whip.CODECS)
async def test_chromium_sees_and_hears_what_simple_whip_client_publishes(
    open_tab: OpenTab, place: Place, codec: str, environment: dict[str, str], tmp_path: Path
) -> None:
    async def publisher() -> str | None:
        return next((seat["participant"] for seat in await place.roster()), None)

    with simple_whip.publishing(place.whip, await place.token(), codec, environment, tmp_path / "whip-client.log"):
        source = await until(publisher)
        tab = await open_tab("chromium")
        await tab.play(place.whep(source), await place.token(), name="encoder")
        seen = await tab.until_decoding("encoder", frames=30)
        assert (seen["state"], seen["pair"]) == ("connected", True)
        assert (seen["video"]["codec"], seen["audio"]["codec"]) == (f"video/{codec}", "audio/opus")
        assert (seen["video"]["frameWidth"], seen["video"]["frameHeight"]) == (160, 120)
        again = await tab.until_decoding("encoder", since=seen["video"]["framesDecoded"])
        assert again["audio"]["totalAudioEnergy"] > seen["audio"]["totalAudioEnergy"]
