"""The audit of the service: what it says, what it hides, and what it finds."""

import json
import os
import re
import signal
import time
from pathlib import Path

import hvac
import pytest
from click.testing import CliRunner
from daemon import served
from hvac.exceptions import InternalServerError

from bundler.cli.keystore_serve import keystore_group
from keystore import audit

CANARY = "canary-7f3a-secret"


def _lines(path: Path) -> list[dict]:
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


def _enable(client: hvac.Client, path: Path) -> None:
    client.sys.enable_audit_device("file", path="a", options={"file_path": str(path)})


def test_requests_and_responses_are_logged_and_secrets_are_not(data: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    with served(data) as daemon:
        client = daemon.unsealed()
        _enable(client, log)
        client.sys.enable_secrets_engine("kv-v2", "s")
        client.secrets.kv.v2.create_or_update_secret("x", {"password": CANARY}, mount_point="s")
        client.secrets.kv.v2.read_secret_version("x", mount_point="s", raise_on_deleted_version=True)
        with pytest.raises(hvac.exceptions.Forbidden):
            daemon.client("hvs." + CANARY).secrets.kv.v1.read_secret("x", mount_point="s")
        hashed = client.sys.calculate_hash("a", CANARY)["data"]["hash"]
        token = client.token
    text = log.read_text()
    assert CANARY not in text
    assert token not in text
    assert not any(CANARY in line or token in line for line in daemon.lines)
    assert re.fullmatch("hmac-sm3:[0-9a-f]{64}", hashed)
    events = _lines(log)
    written = [one for one in events if one.get("request", {}).get("path") == "s/data/x"]
    assert [(one["kind"], one["request"]["operation"]) for one in written] == [
        ("request", "create"),
        ("response", "create"),
        ("request", "read"),
        ("response", "read"),
    ]
    assert written[0]["request"]["data"] == {"data": {"password": hashed}, "options": {}}
    assert written[3]["response"]["data"]["data"] == {"password": hashed}
    refused = [one for one in events if one.get("error")]
    assert [(one["kind"], one["request"]["path"]) for one in refused] == [("request", "s/x"), ("response", "s/x")]
    assert refused[0]["error"] == "permission denied"
    assert audit.verify(log).count == len(events)
    assert oct(log.stat().st_mode)[-3:] == "600"


def test_a_request_that_cannot_be_logged_is_refused(data: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.system(f"mount -t tmpfs -o size=64k tmpfs {small}") != 0:
        pytest.skip("this host mounts no tmpfs")
    try:
        with served(data) as daemon:
            client = daemon.unsealed()
            client.sys.enable_secrets_engine("kv", "s")
            _enable(client, small / "audit.log")
            (small / "filler").write_bytes(b"x" * (64 * 1024 - (small / "audit.log").stat().st_size - 8192))
            written = []
            with pytest.raises(InternalServerError, match="cannot write the audit log: the request is refused"):
                _write_until_refused(client, written)
            (small / "filler").unlink()
            found = client.secrets.kv.v1.list_secrets("", mount_point="s")["data"]["keys"]
            assert set(written) <= set(found) <= {*written, f"n{len(written)}"}
            client.secrets.kv.v1.create_or_update_secret("after", {"a": "1"}, mount_point="s")
            audit.verify(small / "audit.log")
    finally:
        os.system(f"umount {small}")


def _write_until_refused(client: hvac.Client, written: list[str]) -> None:
    for number in range(100):
        client.secrets.kv.v1.create_or_update_secret(f"n{number}", {"a": "1"}, method="POST", mount_point="s")
        written.append(f"n{number}")


def _verify(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(keystore_group, ["audit", "verify", *words])
    told = str(result.exception) if result.exception and not isinstance(result.exception, SystemExit) else ""
    return result.exit_code, result.output + told


def test_any_change_removal_truncation_or_reordering_is_found(data: Path, tmp_path: Path) -> None:
    log, public = tmp_path / "audit.log", tmp_path / "audit.pub"
    with served(data) as daemon:
        client = daemon.unsealed()
        _enable(client, log)
        public.write_text(client.sys.list_enabled_audit_devices()["data"]["a/"]["options"]["public_key"])
        for number in range(4):
            client.secrets.kv.v1.create_or_update_secret(f"x{number}", {"a": "1"}, mount_point="cubbyhole")
    anchors = tmp_path / "audit.log.anchors"
    whole = log.read_bytes().splitlines(keepends=True)
    options = (str(log), "--key", str(public))
    assert _verify(*options) == (0, f"{len(whole)} lines, 1 signed head, the last of line {len(whole) - 1}\n")
    assert "head" in json.loads(whole[-1])["event"]["kind"]

    def told(lines: list[bytes]) -> str:
        log.write_bytes(b"".join(lines))
        code, text = _verify(*options)
        assert code != 0
        return text

    assert "line 3: expected the hash of this line, got another: it was changed" in told(
        [*whole[:2], whole[2].replace(b'"path":"', b'"path":"x'), *whole[3:]]
    )
    assert "line 4: expected seq 4, got 5: 1 lines were cut out" in told([*whole[:3], *whole[4:]])
    assert "line 4: expected seq 4, got 5" in told([*whole[:3], whole[4], whole[3], *whole[5:]])
    cut = told(whole[:-3])
    assert f"expected {len(whole) - 1} lines or more, as the signed head says, got {len(whole) - 3}" in cut
    forged = json.loads(anchors.read_text())
    forged["seq"] = 2
    anchors.write_text(json.dumps(forged, sort_keys=True, separators=(",", ":")) + "\n")
    assert "expected a head that the key signed, got another" in told(whole)


def _old(folder: Path) -> list[Path]:
    return [path for path in folder.glob("audit.log.2*") if path.suffix != ".anchors"]


def test_a_file_is_rotated_and_the_new_one_goes_on_from_it(data: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    with served(data) as daemon:
        client = daemon.unsealed()
        _enable(client, log)
        client.lookup_token()
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while not _old(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)
        client.lookup_token()
    (old,) = _old(tmp_path)
    first = _lines(log)[0]
    head = audit.verify(old)
    assert first == {"kind": "continues", "file": old.name, "seq": head.count, "hash": head.hash}
    audit.verify(log)


def test_a_torn_line_is_told(data: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    with served(data) as daemon:
        client = daemon.unsealed()
        _enable(client, log)
        client.lookup_token()
        token = client.token
    with log.open("ab") as file:
        file.write(b'{"event":{"kind"')
    daemon.start()
    daemon.reopen(token).lookup_token()
    daemon.stop()
    torn = [one for one in _lines(log) if one["kind"] == "torn-line"]
    assert [one["text"] for one in torn] == ['{"event":{"kind"']
    audit.verify(log)
