"""Writes the sample configuration from the settings' own definitions, so that it cannot be out of date."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from textwrap import wrap

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from signalling.config import Settings

_HEAD = """\
# Configuration of pysfu. Every key is optional; what is commented out is the default.
# In the environment the same key is PYSFU_SECTION__KEY, for example PYSFU_HTTP__PORT=443, and wins over this file.
# Check it with: pysfu check-config --config FILE
"""
_EXAMPLES = {
    "http.certificate": '"/etc/pysfu/fullchain.pem"',
    "http.key": '"/etc/pysfu/privkey.pem"',
    "media.control_socket": '"/run/pysfu/media.sock"',
    "store.path": '"/var/lib/pysfu/pysfu.db"',
    "webhooks.key": '"2026-11"',
    "admin.bearer": '"…"           # for example from: openssl rand -hex 32',
    "metrics.bearer": '"…"           # for example from: openssl rand -hex 32',
}


def sample() -> str:
    """Returns a TOML file that lists every setting with its default and its meaning."""
    return _HEAD + "".join(
        "\n" + "\n".join(_section(name, model)) + "\n"
        for name, field in Settings.model_fields.items()
        if isinstance(model := field.annotation, type) and issubclass(model, BaseModel)
    )


def _section(name: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"# {(model.__doc__ or '').strip().splitlines()[0]}"
    yield f"[{name}]"
    for key, field in model.model_fields.items():
        yield from wrap(field.description or "", 106, initial_indent="# ", subsequent_indent="# ")
        yield f"# {key} = {_default(f'{name}.{key}', field)}"


def _default(name: str, field: FieldInfo) -> str:
    if name in _EXAMPLES:
        return f"{_EXAMPLES[name]}"
    match field.get_default(call_default_factory=True, validated_data={}):
        case IPv4Address() | IPv6Address() as address:
            return f'"{address}"'
        case tuple():
            return "[]"
        case dict():
            return '{ "2026-11" = "…" }  # for example from: openssl rand -hex 32'
        case value:
            return json.dumps(value)
