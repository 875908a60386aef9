"""What can be wrong with a configuration, in its file or in the environment: one clear line for each fault."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

ENV_PREFIX = "PYSFU_"
CONFIG_PATH_VARIABLE = "PYSFU_CONFIG"

_UNPARSED = re.compile(r'error parsing value for field "(\w+)"')  # as pydantic-settings says it


class ConfigError(Exception):
    """The configuration cannot be used. `faults` has one clear line for each thing that is wrong."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def read_file(path: Path) -> dict[str, object]:
    """Reads a file of TOML.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8"]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: is not TOML: {_printable(str(error))}"]) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets in brackets in brackets
        raise ConfigError([f"{path}: is not TOML of a configuration: something in it is far too long"]) from error


def unknown_variables(environment: Mapping[str, str], settings: type[BaseModel]) -> Iterator[str]:
    """Finds misspelt variables, which pydantic-settings passes over in silence when the first part is wrong."""
    sections = {name: field.annotation for name, field in settings.model_fields.items()}
    for variable in sorted(environment):
        if not variable.startswith(ENV_PREFIX) or variable == CONFIG_PATH_VARIABLE:
            continue
        section, _, key = variable.removeprefix(ENV_PREFIX).lower().partition("__")
        model = sections.get(section)
        if not isinstance(model, type) or not issubclass(model, BaseModel):
            yield f"environment: {variable} is not a setting (expected {ENV_PREFIX}SECTION__KEY)"
        elif key and key.partition("__")[0] not in model.model_fields:
            yield f"environment: {variable} is not a setting: [{section}] has no key {key.lower()}"


def faults_of(error: ValidationError) -> list[str]:
    """Returns a line for each value that is not what it has to be."""
    return [_line(fault["loc"], fault["type"], fault["msg"]) for fault in error.errors(include_input=False)]


def _line(where: tuple[int | str, ...], kind: str, message: str) -> str:
    name = _printable(".".join(str(part) for part in where))
    if (unparsed := _UNPARSED.search(message)) is not None:
        return f"environment: {ENV_PREFIX}{unparsed[1].upper()} must hold JSON"
    if kind == "extra_forbidden":
        return f"{name}: there is no such setting"
    text = message.removeprefix("Value error, ")
    return f"{name}: {text}" if where else text


def _printable(text: str) -> str:
    """Returns `text` on one line: a key may be quoted, and hold anything."""
    return text if text.isprintable() else ascii(text)[1:-1]
