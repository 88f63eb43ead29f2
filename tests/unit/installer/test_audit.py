"""What is put on record of a host: who did what, with what outcome; and nothing is done that cannot be put there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from bundles import SIGNER, STRANGER
from click.testing import CliRunner, Result
from hosts import NOW, OPERATOR, Host, host_bundle

from bundler.cli import ferry
from bundler.errors import HostError, TrustError
from bundler.installer.audit import HostLog, this_operator
from bundler.installer.uninstall import uninstall
from bundler.model.service import Service
from keystore import audit
from keystore.errors import KeystoreError

WHO = {"user": "li", "uid": "1000", "login_uid": "1000"}


def _events(host: Host) -> list[dict[str, str]]:
    return [dict(line.event) for line in audit.read(host.layout.audit)]


def test_an_install_is_on_record_with_who_what_and_how_it_ended(host: Host, bundle: bytes) -> None:
    done = host.install(bundle)
    told = {
        "product": "sample 1.0",
        "sequence": "1",
        "release": "1",
        "manifest_sha256": done.plan.wanted.manifest_sha256,
        "key": SIGNER.keyid,
        "steps": "launcher store trust marks release settings units switch services health",
    }
    anchor = f"{SIGNER.keyid}.pem"
    new = next(event["to"] for event in _events(host) if event["kind"] == "trust-anchor")
    assert _events(host) == [
        {"kind": "install", "outcome": "begun", "marks": "0", **WHO, **told},
        {"kind": "trust-anchor", "outcome": "done", "marks": "1", **WHO, "change": "added", "file": anchor, "to": new},
        {"kind": "install", "outcome": "done", "marks": "1", **WHO, **told},
    ]
    assert next(audit.read(host.layout.audit)).time == "2026-11-23T12:00:00Z"


def test_an_override_is_on_record_before_anything_is_done(
    host: Host, bundle: bytes, tmp_path: Path, services: tuple[Service, ...]
) -> None:
    host.install(host_bundle(tmp_path, services, sequence=2, version="2.0"))
    host.systemd.broken_once["ferry-agent.service"] = 1
    with pytest.raises(HostError, match="to become ready"):
        host.install(bundle, allow_older=True, accept_expired=True, accept_lost=True)
    overrides = [event for event in _events(host) if event["kind"] == "override"]
    installs = [event for event in _events(host) if event["kind"] == "install"]
    assert [event["option"] for event in overrides] == ["--allow-older-sequence"], "the others made no difference"
    assert overrides[0]["refused"] == "expected sequence 2 or higher, got 1: this host has had 2.0 with sequence 2"
    assert (overrides[0]["from"], overrides[0]["to"]) == ("sequence 2", "sequence 1")
    assert overrides[0]["manifest_sha256"] == installs[-1]["manifest_sha256"]
    assert [event["kind"] for event in _events(host)[3:]] == ["override", "install", "return", "install"]
    assert [event["outcome"] for event in installs] == ["begun", "done", "begun", "failed"]


def test_a_refusal_is_on_record_and_a_dry_run_is_not(
    host: Host, bundle: bytes, tmp_path: Path, services: tuple[Service, ...]
) -> None:
    newer = host_bundle(tmp_path, services, sequence=2, version="2.0")
    host.install(newer)
    before = host.layout.audit.read_bytes()
    with pytest.raises(TrustError):
        host.install(bundle, dry_run=True)
    host.install(bundle, dry_run=True, allow_older=True)
    host.install(newer, allow_older=True)
    assert host.layout.audit.read_bytes() == before
    with pytest.raises(TrustError) as refused:
        host.install(bundle)
    assert _events(host)[3:] == [
        {
            "kind": "install",
            "outcome": "refused",
            "marks": "1",
            **WHO,
            "bundle": f"{tmp_path}/bundle.tar",
            "error": str(refused.value),
        }
    ]


@pytest.mark.parametrize("fresh", [True, False], ids=["first", "later"])
def test_nothing_is_done_that_cannot_be_put_on_record(
    host: Host,
    bundle: bytes,
    tmp_path: Path,
    services: tuple[Service, ...],
    monkeypatch: pytest.MonkeyPatch,
    fresh: bool,
) -> None:
    if not fresh:
        host.install(bundle)
    before, calls = host.listing(), list(host.systemd.calls)
    write = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        if "/audit/" in str(Path(f"/proc/self/fd/{fd}").readlink()):
            raise OSError(28, "No space left on device")
        return write(fd, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(HostError) as refused:
            host.install(host_bundle(tmp_path, services, sequence=2, version="2.0"))
        assert str(refused.value) == (
            f"{host.layout.audit}: the audit log cannot be written: "
            "expected a usable log, got 'no space left on device'"
        )
        assert refused.value.hint == (
            "what is not on record is not done: mend the disk or free some space, run it again"
        )
        if not fresh:
            with pytest.raises(HostError, match="the audit log cannot be written"):
                uninstall(host.layout, host.systemd, now=NOW)
    assert (host.listing(), host.systemd.calls) == (before, calls)


def test_an_uninstall_is_on_record(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    uninstall(host.layout, host.systemd, keep_data=True, now=NOW)
    who = this_operator()
    found = _events(host)[3:]
    assert [(event["kind"], event["outcome"]) for event in found] == [
        ("uninstall", "begun"),
        ("trust-anchor", "done"),
        ("uninstall", "done"),
    ]
    assert (found[0]["product"], found[0]["kept"], found[0]["uid"]) == ("sample 1.0", "data", who.uid)
    assert (found[1]["change"], found[1]["file"]) == ("removed", f"{SIGNER.keyid}.pem")


def test_another_key_is_on_record(host: Host, bundle: bytes, tmp_path: Path, services: tuple[Service, ...]) -> None:
    host.install(bundle)
    host.trust.write_text(STRANGER.public.pem())
    host.install(host_bundle(tmp_path, services, sequence=2, signer=STRANGER))
    anchors = [event["file"] for event in _events(host) if event["kind"] == "trust-anchor"]
    assert anchors == [f"{SIGNER.keyid}.pem", f"{STRANGER.keyid}.pem"]


def test_who_called_sudo_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1")
    monkeypatch.setenv("SUDO_USER", "mallory")
    if os.getuid() == 0:
        # The name comes from the host's users, not from a variable.
        assert (this_operator().user, this_operator().uid) == ("daemon", "1")
    monkeypatch.setenv("SUDO_UID", "x")
    assert this_operator().uid == str(os.getuid())


def _run(*words: object, code: int = 0) -> Result:
    done = CliRunner().invoke(ferry, list(map(str, words)), env={"LC_ALL": "C.UTF-8"})
    error = done.exception
    assert (error.exit_code if isinstance(error, TrustError | HostError | KeystoreError) else done.exit_code) == code
    return done


@pytest.fixture
def log(host: Host) -> Path:
    for number in range(3):
        HostLog(layout=host.layout, now=NOW, operator=OPERATOR).write(
            "install", "begun", product=f"sample {number}", key="ab" * 32
        )
    return host.layout.audit


def test_a_log_is_shown_and_verified_from_the_command_line(log: Path) -> None:
    heads = [line.hash for line in audit.read(log)]
    assert _run("audit", "verify", "--log", log).stdout == (
        "verified: 3 lines from 2026-11-23T12:00:00Z to 2026-11-23T12:00:00Z, none changed\n"
        f"  head, to be kept elsewhere: {heads[2]}\n"
    )
    assert _run("audit", "verify", "--log", log, "--expect-head", heads[1]).stdout == (
        "verified: 3 lines from 2026-11-23T12:00:00Z to 2026-11-23T12:00:00Z, none changed\n"
        "  the expected head is line 2\n"
        f"  head, to be kept elsewhere: {heads[2]}\n"
    )
    assert json.loads(_run("audit", "verify", "--log", log, "--expect-head", heads[2], "--json").stdout) == {
        "verified": True,
        "log": str(log),
        "lines": 3,
        "head": heads[2],
        "first": "2026-11-23T12:00:00Z",
        "last": "2026-11-23T12:00:00Z",
        "expected_at": 3,
    }
    assert _run("audit", "show", "--log", log, "--last", 1).stdout == (
        '    3  2026-11-23T12:00:00Z  li(1000)  install begun  key="abababababababab"  login_uid="1000"  marks="0"  '
        'product="sample 2"\n'
    )
    assert len(_run("audit", "show", "--log", log).stdout.splitlines()) == 3
    audit.append(log, {"kind": "\x1b[2J", "user": "\x9b31m"}, now=NOW)
    assert _run("audit", "show", "--log", log, "--last", 1).stdout == (
        "    4  2026-11-23T12:00:00Z  \\x9b31m(-)  \\x1b[2J -  \n"
    )
    shown = json.loads(_run("audit", "show", "--log", log, "--json").stdout)
    assert [(one["seq"], one["event"]["product"], one["hash"]) for one in shown[:3]] == [
        (number + 1, f"sample {number}", heads[number]) for number in range(3)
    ]


def test_what_is_wrong_with_a_log_is_told(log: Path, tmp_path: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    head = audit.verify(log).hash
    log.write_bytes(b"".join(lines[:2]))
    cut = _run("audit", "verify", "--log", log, "--expect-head", head, code=7).exception
    assert str(cut) == (
        f"{log}: expected a line with the hash {head}, there is none: lines were cut off, or all was written anew"
    )
    log.write_bytes(b"".join([lines[0], lines[2]]))
    moved = f"{log}: line 2: expected seq 2, got 3: 1 lines were cut out"
    assert str(_run("audit", "verify", "--log", log, code=7).exception) == moved
    assert str(_run("audit", "show", "--log", log, code=7).exception) == moved
    none = _run("audit", "verify", "--log", tmp_path / "none", code=8).exception
    assert str(none) == f"{tmp_path}/none: expected an audit log, there is none"
    usage = _run("audit", "verify", "--log", log, "--expect-head", "abc", code=2)
    assert "--expect-head: expected 64 hexadecimal digits, got 'abc'" in usage.stderr
