"""A support bundle: it tells what is needed, and no secret of the host leaves with it."""

from __future__ import annotations

import base64
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hosts import Host
from hypothesis import given
from hypothesis import strategies as st

from bundler.errors import HostError
from bundler.installer.redact import REDACTED, Redactor, host_secrets
from bundler.installer.support import write_support

NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)
CANARY = "canary-of-this-host-42"


def parts(host: Host, path: Path) -> dict[str, str]:
    names = write_support(path, host.layout, host.systemd, now=NOW, ferry_version="0.1.0")
    with tarfile.open(path) as tar:
        found = {member.name: tar.extractfile(member).read().decode() for member in tar}  # type: ignore[union-attr]
    assert [name.removeprefix("ferry-support/") for name in found] == list(names)
    return {name.removeprefix("ferry-support/"): text for name, text in found.items()}


def test_what_it_holds(host: Host, bundle: bytes, tmp_path: Path) -> None:
    host.install(bundle, "agent.PROMPT=Be kind")
    path = tmp_path / "support.tar.gz"
    found = parts(host, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(found["report.json"])["health"] == "healthy"
    assert "files/var/lib/ferry/journal/000001.jsonl" in found
    assert '"keyid": "' in found["files/var/lib/ferry/releases/1.json"]
    assert REDACTED not in found["files/var/lib/ferry/releases/1.json"]
    assert 'PROMPT="Be kind"' in found["files/etc/ferry/agent.env"]
    assert "ExecStart=" in found["files/etc/systemd/system/ferry-agent.service"]
    assert found["logs/ferry-agent.service.log"] == "the last words of ferry-agent.service\n"


def test_no_secret_of_the_host_leaves(host: Host, bundle: bytes, tmp_path: Path) -> None:
    directory = host.layout.settings / "credentials/agent"
    directory.mkdir(parents=True)
    (directory / "model-key").write_text(f"{CANARY}\n")
    host.install(bundle)
    with (host.layout.settings / "agent.env").open("a") as stream:
        stream.write(f"API_TOKEN=other-{CANARY[::-1]}\n")
    encoded = base64.b64encode(CANARY.encode()).decode()
    host.systemd.log = lambda unit, lines: f"calls with {CANARY}, {encoded}, other-{CANARY[::-1]}"  # type: ignore[method-assign]
    found = parts(host, tmp_path / "support.tar.gz")
    text = "\n".join(found.values())
    assert "calls with" in text
    for secret in (CANARY, CANARY[::-1], encoded.rstrip("=")):
        assert secret not in text
    assert repr(Redactor({CANARY})) == "Redactor()"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("OPENAI_API_KEY=sk-123", f"OPENAI_API_KEY={REDACTED}"),
        ('{"password": "a b", "port": 1}', f'{{"password": {REDACTED}, "port": 1}}'),
        ("http://bob:pw@10.0.0.1/x", f"http://{REDACTED}@10.0.0.1/x"),
        ("Authorization: Bearer abcdefgh12345", f"Authorization: {REDACTED} {REDACTED}"),
        ("got eyJhbGciOiJI.eyJzdWIiOiI.c2ln done", f"got {REDACTED} done"),
        ("hvs.CAESIJ3xWkqyLoremIpsum", REDACTED),
        ("-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\nnext", f"{REDACTED}\nnext"),
        ("-----BEGIN EC PRIVATE KEY-----\nMIGH", REDACTED),
        ("sha256 0123456789abcdef port 8090", "sha256 0123456789abcdef port 8090"),
    ],
)
def test_what_looks_like_a_secret_goes(text: str, cleaned: str) -> None:
    assert Redactor().clean(text) == cleaned


@given(st.text(min_size=4, max_size=40), st.text(max_size=60), st.text(max_size=60))
def test_a_known_secret_is_nowhere(secret: str, before: str, after: str) -> None:
    if secret in REDACTED:
        return
    cleaned = Redactor({secret}).clean(f"{before} {secret} {after}")
    assert secret not in cleaned.replace(REDACTED, "\0")


def test_a_host_without_a_release_tells_its_checks(host: Host, tmp_path: Path) -> None:
    found = parts(host, tmp_path / "support.tar.gz")
    assert found["report.error"] == "expected an installed release, there is none\n"
    assert {one["name"] for one in json.loads(found["checks.json"])} >= {"kernel", "localhost"}


def test_a_file_that_is_there_stays(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "support.tar.gz"
    path.write_text("mine")
    with pytest.raises(HostError, match="expected no file there"):
        write_support(path, host.layout, host.systemd, now=NOW, ferry_version="0.1.0")
    assert path.read_text() == "mine"
    with pytest.raises(HostError, match="the archive cannot be written: No such file or directory"):
        write_support(tmp_path / "no/where.tar.gz", host.layout, host.systemd, now=NOW, ferry_version="0.1.0")


def test_secrets_are_found_by_file_and_by_name(host: Host) -> None:
    (host.layout.settings / "credentials/a").mkdir(parents=True)
    (host.layout.settings / "credentials/a/k").write_text("one two\n")
    (host.layout.settings / "a.env").write_text("DB_PASSWORD='p w'\nPORT=8090\n#API_KEY=x\n")
    assert host_secrets(host.layout) == {"one two", "one", "two", "p w"}
