"""What participants want to receive, and what publishers therefore make."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.models import TrackInfo, TrackType, VideoLayer, VideoQuality
from livekit.protocol.rtc import SubscriptionPermission, TrackPermission, UpdateTrackSettings

from signalling.rtc.dynacast import LOWER_AFTER, Dynacast
from signalling.rtc.subscribing import (
    BEST,
    MAX_PERMISSIONS,
    MAX_PERMISSIONS_BYTES,
    Permissions,
    Subscriptions,
    encoding_of,
)

LOW, MEDIUM, HIGH = VideoQuality.LOW, VideoQuality.MEDIUM, VideoQuality.HIGH
SECOND = timedelta(seconds=1)

LAYERS = {
    LOW: VideoLayer(quality=LOW, width=320, height=180),
    MEDIUM: VideoLayer(quality=MEDIUM, width=640, height=360),
    HIGH: VideoLayer(quality=HIGH, width=1280, height=720),
}


def picture(*qualities: VideoQuality, sid: str = "TR_1") -> TrackInfo:
    return TrackInfo(sid=sid, type=TrackType.VIDEO, layers=[LAYERS[quality] for quality in qualities])


def wishing(update: UpdateTrackSettings, *, adaptive: bool = True) -> Subscriptions:
    ours = Subscriptions(auto=True, adaptive=adaptive)
    update.track_sids.append("TR_1")
    assert ours.wish(update, known={"TR_1"}) == ["TR_1"]
    return ours


def test_whoever_did_not_speak_of_a_track_gets_it_if_they_want_everything() -> None:
    for auto in (True, False):
        ours = Subscriptions(auto=auto, adaptive=False)
        assert ours.is_wanted("TR_1") is auto
        ours.subscribe(["TR_1", "TR_unknown"], wanted=not auto, known={"TR_1"})
        assert ours.is_wanted("TR_1") is not auto
        assert ours.spoken_of == {"TR_1": not auto}, "nothing is kept of what there is not"
        ours.forget("TR_1")
        assert ours.is_wanted("TR_1") is auto


def test_before_it_is_known_how_large_pictures_are_shown_small_ones_do_for_who_will_tell() -> None:
    track = picture(LOW, MEDIUM, HIGH)
    assert Subscriptions(auto=True, adaptive=True).quality(track) == LOW
    assert Subscriptions(auto=True, adaptive=False).quality(track) == HIGH


@pytest.mark.parametrize(
    ("width", "height", "quality"),
    [(100, 100, LOW), (320, 180, LOW), (640, 360, MEDIUM), (700, 300, MEDIUM), (641, 361, HIGH), (4_000, 3_000, HIGH)],
)
def test_the_smallest_picture_is_sent_that_fills_where_it_is_shown(
    width: int, height: int, quality: VideoQuality
) -> None:
    ours = wishing(UpdateTrackSettings(width=width, height=height, quality=HIGH))
    assert ours.quality(picture(HIGH, LOW, MEDIUM)) == quality


def test_a_wish_without_a_size_is_one_for_a_quality_and_a_hidden_picture_is_none() -> None:
    assert wishing(UpdateTrackSettings(quality=MEDIUM)).quality(picture(LOW, MEDIUM, HIGH)) == MEDIUM
    assert wishing(UpdateTrackSettings(quality=VideoQuality.OFF)).quality(picture(LOW)) == HIGH, (
        "hiding has its own word"
    )
    assert wishing(UpdateTrackSettings(disabled=True, width=640, height=360)).quality(picture(LOW)) is None


def test_wishes_for_what_there_is_not_are_forgotten() -> None:
    ours = Subscriptions(auto=True, adaptive=True)
    assert ours.wish(UpdateTrackSettings(track_sids=["TR_other"], quality=HIGH), known={"TR_1"}) == []
    assert ours.wishes == {}


@pytest.mark.parametrize(
    ("layers", "quality", "encoding"),
    [
        ((LOW, MEDIUM, HIGH), LOW, 0),
        ((LOW, MEDIUM, HIGH), MEDIUM, 1),
        ((LOW, MEDIUM, HIGH), HIGH, BEST),
        ((LOW, MEDIUM), MEDIUM, 1),
        ((LOW, MEDIUM), HIGH, BEST),
        ((HIGH,), LOW, 0),
        ((), LOW, 0),
    ],
)
def test_a_quality_is_the_best_encoding_that_is_not_above_it(
    layers: tuple[VideoQuality, ...], quality: VideoQuality, encoding: int
) -> None:
    assert encoding_of(picture(*layers), quality) == encoding


def test_sound_has_no_quality_to_choose() -> None:
    assert encoding_of(TrackInfo(type=TrackType.AUDIO), LOW) == BEST


def test_a_publisher_lets_everybody_receive_until_it_says_whom() -> None:
    ours = Permissions()
    assert ours.let("TR_1", subscriber_sid="PA_bob", subscriber_identity="bob")
    ours.say(
        SubscriptionPermission(
            track_permissions=[
                TrackPermission(participant_sid="PA_bob", track_sids=["TR_1"]),
                TrackPermission(participant_identity="carol", all_tracks=True),
            ]
        )
    )
    may = {
        (track, who)
        for track in ("TR_1", "TR_2")
        for who in ("bob", "carol", "dora")
        if ours.let(track, subscriber_sid=f"PA_{who}", subscriber_identity=who)
    }
    assert may == {("TR_1", "bob"), ("TR_1", "carol"), ("TR_2", "carol")}


def test_a_permission_for_nobody_lets_nobody_receive() -> None:
    ours = Permissions()
    ours.say(SubscriptionPermission(track_permissions=[TrackPermission(all_tracks=True)]))
    assert not ours.let("TR_1", subscriber_sid="PA_bob", subscriber_identity="bob")


def test_of_more_permissions_than_are_read_nobody_is_let_have_anything() -> None:
    ours = Permissions()
    many = [TrackPermission(participant_identity="bob", track_sids=["TR_1"])] * MAX_PERMISSIONS
    ours.say(SubscriptionPermission(track_permissions=many))
    assert not ours.let("TR_1", subscriber_sid="PA_bob", subscriber_identity="bob")


def test_of_longer_names_than_are_read_nobody_is_let_have_anything_either() -> None:
    ours = Permissions()
    bob = TrackPermission(participant_identity="bob", all_tracks=True)
    ours.say(SubscriptionPermission(track_permissions=[bob]))
    assert ours.let("TR_1", subscriber_sid="PA_bob", subscriber_identity="bob")
    long = TrackPermission(participant_identity="p" * MAX_PERMISSIONS_BYTES)
    ours.say(SubscriptionPermission(track_permissions=[bob, long]))
    assert not ours.let("TR_1", subscriber_sid="PA_bob", subscriber_identity="bob")
    assert ours.said.ByteSize() == 0


def enabled(dynacast: Dynacast) -> list[bool]:
    return [each.enabled for each in dynacast.qualities()]


def test_an_encoding_that_somebody_wants_is_made_at_once_and_one_that_nobody_does_ends_later() -> None:
    ours = Dynacast()
    assert not ours.look([LOW, None], now=SECOND)
    assert ours.due == SECOND + LOWER_AFTER
    assert not ours.look([LOW], now=SECOND + LOWER_AFTER - timedelta(milliseconds=1))
    assert ours.look([LOW], now=SECOND + LOWER_AFTER)
    assert (enabled(ours), ours.due) == ([True, False, False], None)
    assert ours.look([LOW, MEDIUM], now=7 * SECOND)
    assert enabled(ours) == [True, True, False]
    assert not ours.look([], now=8 * SECOND)
    assert ours.look([None], now=13 * SECOND)
    assert enabled(ours) == [False, False, False]
    assert ours.look([HIGH], now=13 * SECOND)


def test_who_looks_away_for_a_moment_ends_nothing() -> None:
    ours = Dynacast()
    ours.look([LOW], now=SECOND)
    ours.look([HIGH], now=4 * SECOND)
    assert ours.due is None
    assert not ours.look([LOW], now=7 * SECOND)
    assert ours.due == 7 * SECOND + LOWER_AFTER


wants = st.lists(st.sampled_from([None, LOW, MEDIUM, HIGH]), max_size=4)


@given(st.lists(st.tuples(wants, st.integers(0, 6_000)), max_size=30))
def test_whatever_is_wanted_the_publisher_makes_it_and_is_told_each_change_once(
    looks: list[tuple[list[VideoQuality | None], int]],
) -> None:
    ours, now, told = Dynacast(), timedelta(0), HIGH
    for wanted, step_ms in looks:
        now += timedelta(milliseconds=step_ms)
        changed = ours.look(wanted, now=now)
        assert changed == (ours.told != told)
        told = ours.told
        makes = [each.quality for each in ours.qualities() if each.enabled]
        assert all(quality in makes for quality in wanted if quality is not None)
        assert makes == sorted(makes)
        assert makes[:1] in ([], [LOW])
        assert ours.due is None or ours.due > now
