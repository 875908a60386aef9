"""Negotiating anew in the middle of a call: later offers of the other end, and of ours."""

from __future__ import annotations

import re

import msgspec
import pytest
from fake_core import LOCAL, SENDS_BOTH, TAKES_BOTH, FakeCore, offer

from pysfu import Participant, Sfu, Track, Transport, _notes, errors, messages

pytestmark = pytest.mark.asyncio

RECEIVES_ONE, RECEIVES_TWO = (offer(*[("audio", "recvonly")] * n).replace("actpass", "active") for n in (1, 2))


def msids(sdp: str) -> dict[str, str]:
    """Returns the track that each section of an offer of ours names."""
    sections = re.split(r"(?m)^m=", sdp)[1:]
    named = {section: re.search(r"^a=msid:\S+ (\S+)\r", section, re.MULTILINE) for section in sections}
    return {str(n): found[1] for n, section in enumerate(sections) if (found := named[section]) is not None}


def asked(core: FakeCore, kind: type) -> list[messages.Command]:
    return [command for _, command in core.log if isinstance(command, kind)]


async def speaker(participant: Participant) -> Track:
    (track,) = (await participant.answer(offer(("audio", "sendonly")))).tracks
    return track


async def meeting(sfu: Sfu) -> tuple[Participant, Track, Track]:
    """Returns who is to listen, and what two others say."""
    room = await sfu.create_room()
    alice, bob, carol = [await room.add_participant() for _ in range(3)]
    return bob, await speaker(alice), await speaker(carol)


async def listening(bob: Participant, *tracks: Track) -> Transport:
    pending = await bob.offer(play=tracks)
    return await pending.accept(offer(*[("audio", "recvonly")] * len(tracks)).replace("actpass", "active"))


async def test_a_later_offer_publishes_what_is_new_and_ends_what_is_gone(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        alice = await (await sfu.create_room()).add_participant()
        transport = await alice.answer(offer(("audio", "sendonly")))
        (audio,) = transport.tracks
        answer = await transport.reanswer(SENDS_BOTH, sources={"1": "screen"})
        assert answer == transport.sdp
        assert [(track.mid, track.source) for track in transport.tracks] == [("0", "microphone"), ("1", "screen")]
        await transport.reanswer(offer(("audio", "inactive"), ("video", "sendonly")))
        assert [track.mid for track in transport.tracks] == ["1"]
        assert asked(cores[0], messages.Unpublish) == [messages.Unpublish(track=audio.number)]
        assert not asked(cores[0], messages.RestartIce), "the credentials are the same"


async def test_no_track_is_made_of_a_section_that_was_not_named_before_it_is_published(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        alice = await (await sfu.create_room()).add_participant()
        transport = await alice.answer(offer(("audio", "sendonly")), mids=[])
        assert transport.tracks == []
        await transport.reanswer(SENDS_BOTH, mids=["0"])
        assert [track.mid for track in transport.tracks] == ["0"]
        track = await transport.publish("1", source="screen")
        assert (track.mid, track.source, track.kind, track.codec) == ("1", "screen", "video", "vp8")
        with pytest.raises(errors.UnknownMidError):
            await transport.publish("2")


async def test_what_is_sent_is_known_by_the_name_that_it_has_there_unless_that_is_too_long(
    cores: list[FakeCore],
) -> None:
    def named(*names: str) -> str:
        sends = SENDS_BOTH
        for mid, name in enumerate(names):
            sends = sends.replace(f"a=mid:{mid}\r\n", f"a=mid:{mid}\r\na=msid:stream {name}\r\n")
        return sends

    async with Sfu() as sfu:
        alice = await (await sfu.create_room()).add_participant()
        transport = await alice.answer(named("voice", "c" * 64), mids=[])
        assert [(sent.mid, sent.kind, sent.name) for sent in transport.sent] == [
            ("0", "audio", "voice"),
            ("1", "video", "c" * 64),
        ]
        await transport.reanswer(named("voice", "c" * 65), mids=[])
        assert [sent.name for sent in transport.sent] == ["voice", None]


async def test_what_a_participant_may_not_publish_is_refused_in_later_offers_too(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        alice = await (await sfu.create_room()).add_participant()
        transport = await alice.answer(offer(("audio", "sendonly")), publish=["audio"])
        await transport.reanswer(SENDS_BOTH)
        assert [track.kind for track in transport.tracks] == ["audio"]
        with pytest.raises(errors.UnknownMidError):
            await transport.publish("1")


async def test_what_is_played_stays_in_its_section_when_the_other_end_offers_again(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        audio, video = (await alice.answer(SENDS_BOTH)).tracks
        transport = await bob.answer(TAKES_BOTH, publish=False, play=[audio])
        await transport.play(video)
        await transport.reanswer(TAKES_BOTH)
        assert msids(transport.sdp) == {"0": audio.id, "1": video.id}
        assert transport.playing == {"0": audio, "1": video}


async def test_new_credentials_in_a_later_offer_restart_ice(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        alice = await (await sfu.create_room()).add_participant()
        transport = await alice.answer(SENDS_BOTH)
        cores[0].restarted = msgspec.structs.replace(LOCAL, ufrag="another")
        again = re.sub(r"a=ice-ufrag:\S+", "a=ice-ufrag:renewed", SENDS_BOTH)
        assert "a=ice-ufrag:another" in await transport.reanswer(again)
        assert len(asked(cores[0], messages.RestartIce)) == 1
        assert "a=ice-ufrag:another" in await transport.reanswer(again)
        assert len(asked(cores[0], messages.RestartIce)) == 1, "they were new once"


async def test_an_offer_that_cannot_be_answered_changes_nothing(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        alice = await (await sfu.create_room()).add_participant()
        transport = await alice.answer(SENDS_BOTH)
        before = len(cores[0].log)
        with pytest.raises(errors.InvalidSdpError):
            await transport.reanswer("nonsense")
        assert (len(transport.tracks), len(cores[0].log)) == (2, before)


async def test_a_later_offer_of_ours_brings_what_is_new_and_stops_what_is_not_wanted_any_more(
    cores: list[FakeCore],
) -> None:
    async with Sfu() as sfu:
        bob, first, second = await meeting(sfu)
        transport = await listening(bob, first)
        pending = await transport.reoffer([second])
        assert transport.playing == {}, "at once"
        assert msids(pending.sdp) == {"1": second.id}
        assert await pending.accept(RECEIVES_TWO) is transport
        assert transport.playing == {"1": second}
        pending = await transport.reoffer([second, first])
        assert msids(pending.sdp) == {"0": first.id, "1": second.id}, (
            "the place is free, now that it was answered empty"
        )
        versions = [
            int(re.search(r"^o=- \d+ (\d+)", offered, re.MULTILINE)[1]) for offered in (transport.sdp, pending.sdp)
        ]
        assert versions == [2, 3]


async def test_a_track_is_known_by_the_names_that_it_was_given(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        track = await speaker(alice)
        track.msid = ("PA_1|TR_2", "TR_2")
        pending = await bob.offer(play=[track])
        assert "a=msid:PA_1|TR_2 TR_2\r\n" in pending.sdp


async def test_a_later_offer_that_is_given_up_leaves_the_transport_as_it_was(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        bob, first, second = await meeting(sfu)
        transport = await listening(bob, first)
        async with await transport.reoffer([first, second]):
            pass  # no answer came
        assert transport.playing == {"0": first}
        with pytest.raises(errors.InvalidSdpError):
            async with await transport.reoffer([first, second]) as pending:
                await pending.accept("nonsense")
        assert transport in bob.transports
        pending = await transport.reoffer([first, second])
        await pending.accept(RECEIVES_TWO)
        assert transport.playing == {"0": first, "1": second}


async def test_an_answer_to_an_older_offer_is_not_taken_for_one_to_the_latest(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        bob, first, second = await meeting(sfu)
        transport = await listening(bob, first)
        older = await transport.reoffer([])
        latest = await transport.reoffer([first, second])
        with pytest.raises(errors.InvalidSdpError, match="older"):
            await older.accept(RECEIVES_ONE)
        await latest.accept(offer(*[("audio", "recvonly")] * 3).replace("actpass", "active"))
        assert set(transport.playing.values()) == {first, second}


async def test_a_track_that_ends_before_the_answer_is_not_played_and_keeps_no_other_from_it(
    cores: list[FakeCore],
) -> None:
    async with Sfu() as sfu:
        bob, first, second = await meeting(sfu)
        pending = await bob.offer(play=[first, second])
        cores[0].refuse_tracks = {first.number: "unknown_track"}
        transport = await pending.accept(RECEIVES_TWO)
        assert transport.playing == {"1": second}
        assert pending.unplayable == ()


async def test_a_track_whose_codec_the_other_end_does_not_take_is_told(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        bob, first, second = await meeting(sfu)
        transport = await listening(bob, first)
        pending = await transport.reoffer([first, second])
        cores[0].refuse_tracks = {second.number: "no_common_codec"}
        await pending.accept(RECEIVES_TWO)
        assert (transport.playing, pending.unplayable) == ({"0": first}, (second,))


async def test_ice_restarts_with_an_offer_of_ours(cores: list[FakeCore], monkeypatch: pytest.MonkeyPatch) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        track = await speaker(alice)
        transport = await listening(bob, track)
        cores[0].restarted = msgspec.structs.replace(LOCAL, ufrag="another")
        left: list[messages.Note] = []
        monkeypatch.setattr(room.bridge, "note", lambda _worker, note: left.append(note))
        pending = await transport.reoffer([track], restart=True)
        assert "a=ice-ufrag:another" in pending.sdp
        ((_, peer),) = _notes.read((0, note) for note in left).peers.items()
        assert peer.local.ufrag == "another", "whoever controls the engine next offers them too"
        async with await transport.reoffer([track]) as again:
            assert "a=ice-ufrag:another" in again.sdp, "they are what the engine has now, whether answered or not"
            await again.accept(RECEIVES_ONE)


async def test_whoever_answered_an_offer_is_not_offered_anything(cores: list[FakeCore]) -> None:
    async with Sfu() as sfu:
        room = await sfu.create_room()
        alice, bob = await room.add_participant(), await room.add_participant()
        track = await speaker(alice)
        answering = await bob.answer(TAKES_BOTH, publish=False, play=[track])
        with pytest.raises(errors.NoFreeSectionError):
            await answering.reoffer([track])
        offering = await listening(bob, track)
        with pytest.raises(errors.NoFreeSectionError):
            await offering.reanswer(TAKES_BOTH)
        with pytest.raises(errors.NoFreeSectionError):
            await bob.offer(play=[track], publish=["audio"] * 64)
