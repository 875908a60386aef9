"""The wheel, built as a release is, in an empty environment outside the source tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

CALL = '''
import asyncio, importlib.metadata, pathlib, struct, sys
import pysfu, signalling

async def call():
    """Two bots: one sends ten packets, the other gets them."""
    async with pysfu.Sfu(pysfu.Config(bind=("127.0.0.1",))) as sfu, await sfu.create_room() as room:
        async with room.bot(publish_audio=True) as speaking, room.bot(play=speaking.tracks) as hearing:
            await hearing.participant.allow(speaking.tracks[0])
            heard = []
            async def hear():
                async for packet in hearing.packets(speaking.tracks[0]):
                    heard.append(packet.payload)
                    if len(heard) == 10:
                        return
            hearer = asyncio.create_task(hear())
            ssrc = speaking.transport.session.receive[0].encodings[0].ssrc
            for number in range(10):
                speaking.send(struct.pack("!BBHII", 0x80, 111, number, 960 * number, ssrc) + b"sound %d" % number)
                await asyncio.sleep(0.02)
            await asyncio.wait_for(hearer, 30)
            assert heard == [b"sound %d" % number for number in range(10)], heard

asyncio.run(call())
for package in (pysfu, signalling):
    assert pathlib.Path(package.__file__).is_relative_to(sys.prefix), package.__file__
print("called with", importlib.metadata.version("pysfu"))
'''


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds it in the profile of the tests, so that Rust is compiled once."""
    out = tmp_path_factory.mktemp("wheel")
    command = [BIN / "maturin", "build", "--profile", "dev", "--quiet", "--out", out]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"VIRTUAL_ENV": str(BIN.parent)})
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.long
def test_the_wheel_is_for_every_python_from_3_11_and_has_everything(wheel: Path) -> None:
    assert re.fullmatch(r"pysfu-[\w.]+-cp311-abi3-\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = next(name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert "pysfu=signalling.cli:app" in archive.read(entry_points).decode().replace(" ", "")
    assert {"pysfu/_core.abi3.so", "pysfu/_core.pyi", "pysfu/py.typed", "signalling/py.typed"} <= names
    for package in ("pysfu", "signalling"):
        tracked = subprocess.check_output(["git", "ls-files", package], cwd=ROOT, text=True).split()
        assert set(tracked) <= names
        assert not [name for name in names if "__pycache__" in name]


@pytest.mark.long
def test_a_call_runs_through_the_wheel_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    install = [environment / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", wheel]
    subprocess.run(install, cwd=tmp_path, env=clean, check=True)
    (tmp_path / "call.py").write_text(CALL)
    for command, said in (
        ([environment / "bin" / "python", "-W", "error", "call.py"], "called with"),
        ([environment / "bin" / "pysfu", "sample-config"], "[http]"),
    ):
        done = subprocess.run(command, cwd=tmp_path, env=clean, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
