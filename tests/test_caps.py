"""The table of caps in the engine's README says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

ENGINE = Path(__file__).parent.parent / "sfu_core"
PYSFU = ENGINE.parent / "pysfu"
ROW = re.compile(r"^\| [^|]+ \| `(MAX_[A-Z_]+)` \| `([a-z_/]+\.rs)` \| ([^|]+) \|$", re.MULTILINE)
PYTHON_ROW = re.compile(r"^\| [^|]+ \| `(MAX_[A-Z_]+)` \| `([a-z0-9_/]+\.py)` \| ([^|]+) \|$", re.MULTILINE)
PYTHON_CAP = re.compile(r"^(MAX_[A-Z_]+) = ([^#\n]+?) *(?:#.*)?$", re.MULTILINE)

CAP = re.compile(r"^(?:pub(?:\([a-z:]+\))? )?const (MAX_[A-Z0-9_]+): (?:usize|u\d+) =", re.MULTILINE)
PARSERS = ("rtp/", "rtcp/", "sdp/", "peer/srtp/")
"""What is read of one packet or description, and is gone with it."""
KEEPS_NOTHING = {
    "bwe/arrival.rs": {"MAX_REPORT"},
    "bwe/history.rs": {"MAX_ACKNOWLEDGED"},
    "bwe/pacer.rs": {"MAX_AGE_NANOS"},
    "demux.rs": {"MAX_ATTRIBUTES"},
    "driver/addresses.rs": {"MAX_ADDRESSES"},
    "driver/bots.rs": {"MAX_BOT_PACKET"},
    "driver/echo_call.rs": {"MAX_PACKETS", "MAX_DATAGRAM"},
    "driver/process.rs": {"MAX_DRAIN", "MAX_LAST_TURNS"},
    "driver/process/connection.rs": {"MAX_READS"},
    "driver/process/frame.rs": {"MAX_READ"},
    "driver/udp/receive.rs": {"MAX_BATCH"},
    "driver/udp/send.rs": {"MAX_SEGMENTS", "MAX_MESSAGE_BYTES"},
    "driver/wire.rs": {"MAX_DEPTH"},
    "driver/worker.rs": {"MAX_RECEIVE_CALLS", "MAX_COMMANDS_PER_TURN"},
    "engine/batch.rs": {"MAX_DATAGRAM", "MAX_DATAGRAM_V6", "MAX_GROUPS", "MAX_SEGMENTS", "MAX_GROUP_BYTES"},
    "engine/ingest.rs": {"MAX_TOGETHER", "MAX_RUN"},
    "engine/intake.rs": {"MAX_PASSED_ON"},
    "engine/send_track.rs": {"MAX_MID_PACKETS"},
    "engine/rtcp_queue.rs": {"MAX_COMPOUND"},
    "forward/recovery.rs": {"MAX_JUMP", "MAX_REQUEST"},
    "forward/resend.rs": {"MAX_STORED_BYTES"},
    "forward/rewriter.rs": {"MAX_GAP"},
    "forward/speaker.rs": {"MAX_ACTIVE"},
    "ids.rs": {"MAX_SDES_LEN"},
    "peer/dtls.rs": {"MAX_DTLS_LEN"},
    "peer/ice.rs": {"MAX_LOCAL_CANDIDATES", "MAX_CHECK_LEN"},
    "peer/sctp/association.rs": {"MAX_CHUNK_BYTES", "MAX_DATAGRAM_BYTES", "MAX_RECEIVE_BYTES"},
    "peer/sctp/dcep.rs": {"MAX_NAME_BYTES"},
    "python.rs": {"MAX_DRAIN"},
}
"""What bounds one packet, one turn or one number, and what was allocated once."""


def test_every_cap_in_the_readme_has_that_value_in_that_file() -> None:
    rows = ROW.findall((ENGINE / "README.md").read_text(encoding="utf-8"))
    assert len(rows) > 30
    for name, file, value in rows:
        source = (ENGINE / "src" / file).read_text(encoding="utf-8")
        found = re.search(rf"\bconst {name}: [a-z0-9]+ = ([^;]+);", source)
        assert found, f"{file} has no {name}"
        assert found[1] == value.strip(), f"{name} in {file}"


def test_every_cap_of_python_is_in_the_readme_with_its_value() -> None:
    rows = set(PYTHON_ROW.findall((ENGINE / "README.md").read_text(encoding="utf-8")))
    caps = {
        (name, path.relative_to(PYSFU).as_posix(), value)
        for path in PYSFU.rglob("*.py")
        for name, value in PYTHON_CAP.findall(path.read_text(encoding="utf-8"))
    }
    assert rows == caps


def test_every_cap_in_the_code_is_in_the_readme_or_keeps_nothing() -> None:
    rows = {(name, file) for name, file, _ in ROW.findall((ENGINE / "README.md").read_text(encoding="utf-8"))}
    for path in sorted((ENGINE / "src").rglob("*.rs")):
        file = path.relative_to(ENGINE / "src").as_posix()
        if "tests" in file or file.startswith(PARSERS):
            continue
        source = path.read_text(encoding="utf-8").split("#[cfg(test)]\nmod ")[0]
        for name in CAP.findall(source):
            known = (name, file) in rows or name in KEEPS_NOTHING.get(file, ())
            assert known, f"{name} of {file} is missing in the table"


def test_what_is_said_to_keep_nothing_exists() -> None:
    for file, names in KEEPS_NOTHING.items():
        caps = set(CAP.findall((ENGINE / "src" / file).read_text(encoding="utf-8")))
        assert names <= caps, f"{file} has no {', '.join(names - caps)}"


def test_every_file_the_engine_readme_names_exists() -> None:
    text = (ENGINE / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([a-z_/]+\.rs)`", text):
        assert (ENGINE / "src" / name).exists(), name
