"""What must hold of every parser in Python, whatever the bytes are: one function each, run over `corpus/`."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl

from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import CreateRoomRequest

from pysfu import _compiled, messages
from pysfu.errors import InvalidPayloadError, InvalidSdpError
from pysfu.rtp import h264, opus, packet, red, vp8, vp9
from pysfu.rtp.fragment import Fragment
from signalling import config
from signalling.domain.ids import MAX_ID_LENGTH
from signalling.rtc import signal, twirp
from signalling.rtc.asked import AskedFaultError, asked
from signalling.tokens import InvalidTokenError, RefusedTokenError, Tokens
from signalling.whip import fragment, sdp

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "tests" / "corpus"
# What the engine's parsers of the same formats run through.
ENGINE = {
    "offer": ROOT / "sfu_core" / "tests" / "sdp",
    **{
        name: ROOT / "sfu_core" / "fuzz" / "corpus" / name
        for name in ("rtp_packet", "rtcp", "vp8", "vp9", "h264", "red")
    },
}

SECRET = b"a secret for the corpus only, 32."
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TOKENS = Tokens({"corpus": SECRET}, max_life=timedelta(hours=6))
PLAN = messages.AnswerPlan(
    local=messages.LocalTransport(
        ufrag="ours",
        pwd="a-password-of-22-chars",
        fingerprint=messages.Fingerprint(algorithm="sha-256", value=bytes(32)),
        candidates=[],
        ssrc_base=1_000,
    ),
    policy=messages.MediaPolicy(),
)
MAX_FAULT = 200  # What is told never grows with what was sent.


def _check_told(fault: str) -> None:
    assert fault.isprintable()
    assert len(fault) <= MAX_FAULT


def offer(data: bytes) -> None:
    """An offer that passes is what was sent but for its line ends, passes again, and means the same to the engine."""
    for direction in sdp.Direction:
        try:
            read = sdp.check_offer(data, direction=direction)
        except sdp.OfferFaultError as error:
            _check_told(error.fault)
            continue
        assert read.kinds
        assert read.kinds <= {"audio", "video"}
        assert read.text.replace("\r\n", "\n").rstrip("\n") == data.decode().replace("\r\n", "\n").rstrip("\n")
        assert sdp.check_offer(read.text.encode(), direction=direction) == read
        fragment.credentials_of(read.text)
        fragment.fragment_of(read.text)
        with contextlib.suppress(InvalidSdpError):
            session = _compiled.answer(read.text, PLAN).session
            assert {section.kind for section in session.receive} <= read.kinds


def trickle_fragment(data: bytes) -> None:
    """A fragment that passes can stand in for the credentials of an offer, which stays one."""
    try:
        read = fragment.parse_fragment(data)
    except fragment.FragmentFaultError as error:
        _check_told(error.fault)
        return
    assert len(read.candidates) <= fragment.MAX_FRAGMENT_LINES
    assert sum(map(len, read.candidates)) <= len(data)
    for described in sorted(ENGINE["offer"].glob("*_publish.sdp")):
        before = sdp.check_offer(described.read_bytes(), direction=sdp.Direction.SEND)
        after = fragment.with_credentials(before.text, read)
        assert fragment.credentials_of(after) == (read.ufrag, read.password)
        assert sdp.check_offer(after.encode(), direction=sdp.Direction.SEND).kinds == before.kinds


def token(data: bytes) -> None:
    """A token that passes is one that the holder of the key has written just so."""
    text = data.decode("latin-1").rstrip("\n")
    try:
        grant = TOKENS.read(text, now=NOW)
    except InvalidTokenError as error:
        _check_told(error.fault)
        return
    except RefusedTokenError:
        return
    signed, _, tag = text.rpartition(".")
    mac = hmac.new(SECRET, signed.encode(), hashlib.sha256).digest()
    assert tag == base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    assert 0 < len(grant.participant) <= MAX_ID_LENGTH


def twirp_call(data: bytes) -> None:
    """A call that can be read is the same when it was written and read again, in either form."""
    for form in twirp.Form:
        try:
            read = twirp.read(data, form, CreateRoomRequest)
        except twirp.TwirpError as error:
            _check_told(str(error))
            continue
        read.DiscardUnknownFields()
        for other in twirp.Form:
            assert twirp.read(twirp.write(read, other), other, CreateRoomRequest) == read


def signal_frame(data: bytes) -> None:
    """A request is the same when it was written and read again."""
    try:
        read = signal.read(data)
    except signal.SignalFaultError as error:
        _check_told(str(error))
        return
    if read is not None:
        assert signal.read(read.SerializeToString()) == read


def query(data: bytes) -> None:
    """What is asked of a meeting in an address can be told to the others there."""
    try:
        read = asked(dict(parse_qsl(data.decode("latin-1"), keep_blank_values=True)))
    except AskedFaultError as error:
        _check_told(error.fault)
        return
    told = ParticipantInfo(attributes=read.attributes, capabilities=read.capabilities)
    assert ParticipantInfo.FromString(told.SerializeToString()) == told


def _check_listed(faults: list[str], data: bytes) -> None:
    assert 0 < len(faults) <= 1 + len(data)
    assert all(map(str.isprintable, faults))
    for value in _texts(data):
        assert not any(value in fault for fault in faults)


def _texts(data: bytes) -> list[str]:
    """Lists the texts in a file that are values, and long enough not to be in a sentence by chance."""
    found: list[str] = []
    try:
        waiting: list[object] = [tomllib.loads(data.decode())]
    except (ValueError, RecursionError):
        return []
    while waiting:
        match waiting.pop():
            case dict() as table:
                waiting += table.values()
            case list() as several:
                waiting += several
            case str() as text if len(text) >= 6:
                found.append(text)
    return found


def configuration(data: bytes) -> None:
    """What is wrong in a file is told in lines, none of which quotes a value."""
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        try:
            read = config.load(Path(file.name))
        except config.ConfigError as error:
            _check_listed(error.faults, data)
            return
    assert read.media.port + read.media.workers <= 65_536


def rtp_packet(data: bytes) -> None:
    """A packet is inside what was read, and is written so that it reads the same."""
    packet.is_rtcp(data)
    read = packet.parse(data)
    if read is not None:
        assert read.payload in data
        assert packet.parse(packet.write(read)) == read


def rtcp(data: bytes) -> None:
    """No more keyframes are asked for than there is place for requests."""
    assert len(list(packet.keyframes_asked_for(data))) <= len(data) // 12


def video(depacketize: Callable[[bytes], Fragment]) -> Callable[[bytes], None]:
    """What a payload adds to a picture is not longer than it, but for the start codes of its units."""

    def body(data: bytes) -> None:
        with contextlib.suppress(InvalidPayloadError):
            read = depacketize(data)
            assert len(read.data) <= 4 + 2 * len(data)
            assert not (read.keyframe or read.surely_begins) or read.may_begin

    return body


def redundant_audio(data: bytes) -> None:
    """The blocks lie in the payload one after the other, and the last one is what it is about."""
    with contextlib.suppress(InvalidPayloadError):
        blocks = red.depacketize(data)
        assert len(blocks) <= red.MAX_REDUNDANT + 1
        assert data.endswith(b"".join(block.data for block in blocks))
        assert blocks[-1].age == 0


def opus_packet(data: bytes) -> None:
    """No packet sounds longer than 120 ms (RFC 6716 section 3.2.5)."""
    assert 0 <= opus.samples(data) <= opus.CLOCK_RATE_HZ * 120 // 1_000


BODIES: dict[str, Callable[[bytes], None]] = {
    "offer": offer,
    "fragment": trickle_fragment,
    "token": token,
    "twirp": twirp_call,
    "signal": signal_frame,
    "asked": query,
    "config": configuration,
    "rtp_packet": rtp_packet,
    "rtcp": rtcp,
    "vp8": video(vp8.depacketize),
    "vp9": video(vp9.depacketize),
    "h264": video(h264.depacketize),
    "red": redundant_audio,
    "opus": opus_packet,
}


def inputs(name: str) -> Iterator[Path]:
    """Lists what is kept for a parser, and what the engine keeps for its own."""
    for folder in filter(None, (CORPUS / name, ENGINE.get(name))):
        yield from sorted(path for path in folder.iterdir() if path.is_file())
