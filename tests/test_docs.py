"""What the documents say is so: snippets run, commands and files exist."""

from __future__ import annotations

import re
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
