"""The server's README says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import Bench

from signalling import config
from signalling.cli import app
from signalling.config import Settings

README = (Path(config.__file__).parent / "README.md").read_text(encoding="utf-8")


def test_every_setting_the_readme_names_exists() -> None:
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    named = re.findall(r"`(\w+)\.([a-z_]+)`", README)
    for section, key in named:
        if section in sections and key != "py":
            assert key in getattr(sections[section], "model_fields", {}), f"{section}.{key}"
    assert len(named) > 10


def test_every_command_the_readme_names_exists() -> None:
    commands = {
        (command.name or command.callback.__name__).replace("_", "-")
        for command in app.registered_commands
        if command.callback
    }
    assert set(re.findall(r"(?:^|`)pysfu ([a-z-]+)", README, flags=re.MULTILINE)) <= commands
    assert commands == {"serve", "demo", "check-config", "sample-config", "doctor", "token"}


async def test_every_request_the_readme_names_is_in_the_published_description(bench: Bench) -> None:
    async with bench.http() as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    for method, path in re.findall(r"`(GET|POST|DELETE) (/[a-z{}/]+)`", README):
        if path != "/openapi.json":
            assert method.lower() in paths[path], (method, path)
