"""The wheel, built as a release is, in an empty environment outside the source tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from callers import Caller, gaps, meeting
from footage import FRAME_RATE, Camera, Tone
from servers import serving

ROOT = Path(__file__).parents[2]

WHERE = """
import pathlib, sys
import pysfu, signalling
for package in (pysfu, signalling):
    assert pathlib.Path(package.__file__).is_relative_to(sys.prefix), package.__file__
"""


@pytest.fixture
def environment(wheel: Path, tmp_path: Path) -> Path:
    """Installs the wheel where nothing else is, and returns where the programs are."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    programs = tmp_path / "venv" / "bin"
    install = [programs / "pip", "install", "--quiet", "--disable-pip-version-check", wheel]
    subprocess.run(install, cwd=tmp_path, env=clean(), check=True)
    subprocess.run([programs / "python", "-W", "error", "-c", WHERE], cwd=tmp_path, env=clean(), check=True)
    return programs


def clean() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}


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
async def test_callers_meet_at_a_server_that_runs_from_the_wheel_in_an_empty_environment(
    environment: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, [environment / "pysfu"], cwd=tmp_path, environment=clean()) as server:
        async with meeting(server.base_url, server.admin_bearer) as room, Caller() as publisher, Caller() as subscriber:
            await room.publish(publisher.send(Camera(1), Tone(440)), "anna")
            await publisher.connected()
            await room.play(subscriber.take("video", "audio"), "anna", "bela")
            seen = await subscriber.watched(2 * FRAME_RATE)
            assert {camera for camera, _ in seen} == {1}
            assert gaps([number for _, number in seen]) == []
            assert abs(await subscriber.heard() - 440) <= 2
            assert await room.roster() == {"anna": [], "bela": ["anna"]}
