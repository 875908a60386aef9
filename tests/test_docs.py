"""What the documents say is so: snippets run, commands and files exist."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import textwrap
from pathlib import Path

import pytest
from callers import Caller
from footage import Tone

import pysfu
from signalling.cli import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    ROOT / name for name in subprocess.check_output(["git", "ls-files", "*.md"], cwd=ROOT, text=True).split()
)
COMMANDS = {
    (command.name or command.callback.__name__).replace("_", "-")
    for command in app.registered_commands
    if command.callback
}
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def code(document: Path) -> str:
    """Returns everything in it that is set as code."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", document.read_text(), re.DOTALL))


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_command_exists(document: Path) -> None:
    words = code(document)
    assert set(re.findall(r"(?:^|[`/]|&& )pysfu ([a-z][a-z-]*)", words, re.MULTILINE)) <= COMMANDS
    assert set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", words, re.MULTILINE)) <= TARGETS


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def quick_start() -> str:
    """Returns the lines for operators."""
    section = (ROOT / "README.md").read_text().partition("## Operators")[2]
    (block,) = re.findall(r"```sh\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    return str(block)


def test_the_quick_start_for_operators_begins_with_what_makes_the_program_and_needs_no_other() -> None:
    first, _, rest = quick_start().partition("\n")
    assert first == "make setup"
    made = subprocess.check_output(["make", "--dry-run", "--always-make", "setup"], cwd=ROOT, text=True)
    assert "maturin develop" in made, "it makes .venv/bin/pysfu"
    packages = (ROOT / "tests" / "setup" / "packages.txt").read_text().splitlines()
    programs = set(re.findall(r"(?:^|\| |&& |\$\()([\w./]+)(?= )", rest, re.MULTILINE))
    of_debian_and_the_shell = {"export", "grep", "kill", "wait"}
    assert programs - of_debian_and_the_shell - {".venv/bin/pysfu"} <= set(packages)
    assert {"curl", "openssl"} <= programs


def test_the_quick_start_for_operators_runs_as_it_stands(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_STREAM)
    script = (
        quick_start()
        .removeprefix("make setup\n")
        .replace(".venv/bin/", f"{ROOT}/.venv/bin/")
        .replace(":8443/", f":{port}/")
    )
    assert script.count(f":{port}/") == 3
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYSFU_")}
    environment |= {"PYSFU_HTTP__PORT": str(port), "PYSFU_MEDIA__PORT": str(free_port(socket.SOCK_DGRAM))}
    command = ["bash", "-euo", "pipefail", "-c", script]
    said = tmp_path / "said"
    with said.open("wb") as output:
        shell = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            status = shell.wait(120)
        finally:
            with contextlib.suppress(ProcessLookupError):  # a line that fails leaves the server behind
                os.killpg(shell.pid, signal.SIGKILL)
    assert status == 0, said.read_text()
    for line in ('{"status":"ready"}', "sfu_rooms 1.0\n", "sfu_unauthorized_forward_total 0.0\n"):
        assert line in said.read_text()


async def test_the_snippet_of_the_readme_runs() -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    body = textwrap.indent(snippet + "    await seen(sending, receiving)\n", "    ")
    answers = []

    async def seen(*transports: pysfu.Transport) -> None:
        answers.extend(transport.sdp for transport in transports)

    async with Caller() as alice, Caller() as bob:
        names = {
            "Sfu": pysfu.Sfu,
            "offer_of_alice": await alice.send(Tone(440)).offer(),
            "offer_of_bob": await bob.take("audio").offer(),
            "seen": seen,
        }
        exec(compile(f"async def snippet():\n{body}", "README.md", "exec"), names)
        await names["snippet"]()
    assert ["a=recvonly" in answers[0], "a=sendonly" in answers[1]] == [True, True]
