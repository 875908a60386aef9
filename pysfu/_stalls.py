"""What a snapshot says of tracks that do not come, or do not go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pysfu import messages
    from pysfu.track import Track
    from pysfu.transport import Transport


def note_stalls(
    worker: int,
    state: messages.State,
    tracks: Mapping[tuple[int, int], Track],
    transports: Mapping[tuple[int, int], Transport],
) -> None:
    """Notes what does not flow on a worker; tracks and transports are found by worker and number."""
    for said in state.tracks:
        track = tracks.get((worker, said.track))
        if track is not None and track.worker == worker:
            track.stalled = said.stalled
    for peer in state.peers:
        transport = transports.get((worker, peer.peer))
        for section in peer.playing if transport is not None else ():
            track = tracks.get((worker, section.track))
            if track is not None and transport is not None:
                track.stall(transport, section.stalled)
