"""`pysfu token`: what it makes, and what it says when it cannot."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from signalling.cli import app
from signalling.domain.grants import Grant, Source
from signalling.tokens import Tokens

SECRET = "s" * 32


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "pysfu.toml"
    path.write_text(f'[tokens]\nkeys = {{ k1 = "{SECRET}" }}\nmax_life_s = 7200\n')
    return path


def asked(config: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["token", "--room", "r_1", *options, "-c", str(config)])


def made(config: Path, *options: str) -> Grant:
    """Makes a token, and reads it as a server does at the moment at which it was made."""
    result = asked(config, *options)
    assert result.exit_code == 0, result.stderr
    token = result.stdout.strip()
    claims = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    at = datetime.fromtimestamp(claims["iat"], UTC)
    return Tokens({"k1": SECRET.encode()}, max_life=timedelta(hours=2)).read(token, now=at)


def life(grant: Grant) -> timedelta:
    assert grant.issued_at is not None
    return grant.expires_at - grant.issued_at


def test_a_token_allows_by_itself_to_send_and_receive_for_ten_minutes_and_no_more(config: Path) -> None:
    grant = made(config)
    assert (grant.room, grant.join, grant.can_publish, grant.can_subscribe) == ("r_1", True, True, True)
    assert (grant.can_publish_data, grant.can_update_own_metadata, grant.sources) == (False, False, None)
    assert grant.participant.startswith("p_")
    assert life(grant) == timedelta(minutes=10)


def test_a_token_allows_what_was_asked_for(config: Path) -> None:
    wanted = ["--identity", "p_7", "--name", "Anna", "--sources", "microphone,camera", "--valid-for", "2h"]
    grant = made(config, *wanted, "--can-publish-data", "--no-can-subscribe")
    assert (grant.participant, grant.name) == ("p_7", "Anna")
    assert grant.sources == {Source.MICROPHONE, Source.CAMERA}
    assert (grant.can_publish, grant.can_publish_data, grant.can_subscribe) == (True, True, False)
    assert life(grant) == timedelta(hours=2)
    assert not made(config, "--no-can-publish").can_publish


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--identity", "anna@example.org"], "--identity: "),
        (["--sources", "camera,hologram"], "--sources: some of camera,microphone"),
        (["--sources", ""], "--sources: some of"),
        (["--valid-for", "soon"], "--valid-for: a number and its unit, such as 90s"),
        (["--valid-for", "0s"], "--valid-for: a number and its unit"),
        (["--valid-for", "121m"], "--valid-for: tokens.max_life_s allows at most 7200s"),
        (["--valid-for", "999999999d"], "--valid-for: tokens.max_life_s allows at most 7200s"),
        (["--name", "x" * 4_000], "the token would be longer than 4096 characters: shorten its name"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_and_no_token_is_made(config: Path, options: list[str], fault: str) -> None:
    result = asked(config, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"pysfu: {fault}")
    assert "example.org" not in line


def test_a_token_no_server_would_take_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "pysfu.toml"
    path.write_text("")
    result = asked(path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "tokens.keys" in result.stderr
