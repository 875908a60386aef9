"""The server's README says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import Bench

from signalling import config
from signalling.cli import app
from signalling.config import Settings
from signalling.engine_metrics import EngineCollector

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
    assert commands == {"serve", "drain", "migrate", "demo", "check-config", "sample-config", "doctor", "token"}


def shown(bench: Bench) -> dict[str, frozenset[str]]:
    """Lists all metrics of ours, as they are shown, with their labels."""
    found = {}
    for collector in bench.parts.metrics.registry._collector_to_names:
        # Ours know their labels before there is a value; a family of the engine's collector does too.
        families = collector.collect() if isinstance(collector, EngineCollector) else [collector]
        for family in families:
            if (name := getattr(family, "_name", None) or getattr(family, "name", "")).startswith("sfu_"):
                kind = getattr(family, "_type", None) or family.type
                found[name + "_total" * (kind == "counter")] = frozenset(family._labelnames)
    return found


def test_the_readme_lists_every_metric_with_its_labels_and_no_other(bench: Bench) -> None:
    listed = {
        name: frozenset(re.findall(r"[a-z]+", labels))
        for name, labels in re.findall(r"^\| `(sfu_[a-z_]+)` \| ([a-z, ]*) ?\|", README, flags=re.MULTILINE)
    }
    assert listed == shown(bench)


async def test_every_request_the_readme_names_is_in_the_published_description(bench: Bench) -> None:
    async with bench.http() as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    for method, path in re.findall(r"`(GET|POST|PATCH|DELETE) (/[a-z{}/]+)`", README):
        if path != "/openapi.json":
            assert method.lower() in paths[path], (method, path)
