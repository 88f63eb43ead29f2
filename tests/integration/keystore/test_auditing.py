"""The audit of the service: what it says, what it hides, and what it finds."""

import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import hvac
import pytest
from click.testing import CliRunner
from daemon import Daemon, served
from hvac.exceptions import InternalServerError, InvalidRequest

from bundler.cli.keystore_serve import keystore_group
from keystore import audit, chain, moment

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
    result = CliRunner().invoke(keystore_group, ["audit", *words])
    told = str(result.exception) if result.exception and not isinstance(result.exception, SystemExit) else ""
    return result.exit_code, result.output + told


def _write_public(client: hvac.Client, path: Path) -> None:
    path.write_text(client.sys.list_enabled_audit_devices()["data"]["a/"]["options"]["public_key"])


def _rotated(daemon: Daemon, log: Path, count: int) -> None:
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while len(audit.segments(log)) < count and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of one log, with the key and the heads outside."""
    folder = tmp_path_factory.mktemp("series")
    log = folder / "audit.log"
    with served(folder / "data") as daemon:
        client = daemon.unsealed()
        _enable(client, log)
        _write_public(client, folder / "audit.pub")
        for number in range(12):
            client.secrets.kv.v1.create_or_update_secret(f"x{number}", {"a": "1"}, mount_point="cubbyhole")
            if number in (3, 7):
                _rotated(daemon, log, (number + 1) // 4)
    return folder


@pytest.fixture
def copied(series: Path, tmp_path: Path) -> Path:
    for path in series.glob("audit.*"):
        shutil.copy(path, tmp_path)
    return tmp_path / "audit.log"


def _counts(log: Path) -> list[int]:
    return [len(path.read_bytes().splitlines()) for path in (*audit.segments(log), log)]


def test_the_chain_goes_on_over_all_files(copied: Path) -> None:
    key = str(copied.with_name("audit.pub"))
    counts = _counts(copied)
    assert len(counts) == 3
    whole = sum(counts)
    assert _verify("verify", str(copied), "--key", key) == (
        0,
        f"{whole} lines in 3 files, 3 signed heads, the last of line {whole - 1}\n",
    )
    assert _verify("verify", str(copied)) == (0, f"{whole} lines in 3 files; no key, so no head was checked\n")
    first = _lines(copied)[0]
    assert (first["kind"], first["file"], first["seq"]) == ("continues", "audit.log.2", counts[0] + counts[1])


def _change(log: Path) -> str:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:2], lines[2].replace(b'"path":"', b'"path":"x'), *lines[3:]]))
    return f"{log}: line 3: expected the hash of this line, got another: it was changed"


def _remove_line(log: Path) -> str:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:3], *lines[4:]]))
    seq = json.loads(lines[3])["seq"]
    return f"{log}: line 4: expected seq {seq}, got {seq + 1}: 1 lines were cut out"


def _reorder(log: Path) -> str:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:3], lines[4], lines[3], *lines[5:]]))
    seq = json.loads(lines[3])["seq"]
    return f"{log}: line 4: expected seq {seq}, got {seq + 1}: 1 lines were cut out"


def _truncate(log: Path) -> str:
    whole = sum(_counts(log))
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-3]))
    return f"line 3: expected {whole - 1} lines or more, as the signed head says, got {whole - 3}"


def _remove_middle(log: Path) -> str:
    one, two, _ = _counts(log)
    log.with_name("audit.log.2").unlink()
    return f"{log}: line 1: expected seq {one + 1}, got {one + two + 1}: {two} lines were cut out"


def _remove_first(log: Path) -> str:
    one, _, _ = _counts(log)
    log.with_name("audit.log.1").unlink()
    return f"{log}: expected line 1 first, got {one + 1}: nothing says that {one} lines were kept for their time"


def _remove_last(log: Path) -> str:
    one, two, three = _counts(log)
    log.unlink()
    return f"line 3: expected {one + two + three - 1} lines or more, as the signed head says, got {one + two}"


def _swap(log: Path) -> str:
    one, two = log.with_name("audit.log.1"), log.with_name("audit.log.2")
    count = len(one.read_bytes().splitlines())
    one.rename(log.with_name("x"))
    two.rename(one)
    log.with_name("x").rename(two)
    return f"{two}: line 1: expected seq {len(one.read_bytes().splitlines()) + count + 1}, got 1: lines were moved"


def _forge_anchor(log: Path) -> str:
    anchors = log.with_name("audit.log.anchors")
    lines = anchors.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), "seq": 2}, sort_keys=True, separators=(",", ":"))
    anchors.write_text("\n".join(lines) + "\n")
    return f"{anchors}: line 2: expected a head that the key signed, got another"


def _rewrite(log: Path) -> str:
    """Write the newest file anew with right hashes, and leave its signed head out."""
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    head = chain.Head(count=lines[0]["seq"] - 1, hash=lines[0]["prev"])
    made = b""
    for line in lines[:-1]:
        event = {**line["event"], "note": "x"}
        head, data = chain.chained(head, event, moment.parse(line["time"], "x"))
        made += data
    log.write_bytes(made)
    return f"line 3: expected the line {head.count} that was signed, got another"


@pytest.mark.parametrize(
    "harm",
    [
        _change,
        _remove_line,
        _reorder,
        _truncate,
        _remove_middle,
        _remove_first,
        _remove_last,
        _swap,
        _forge_anchor,
        _rewrite,
    ],
)
def test_any_change_removal_truncation_or_reordering_is_found(copied: Path, harm: Callable[[Path], str]) -> None:
    told = harm(copied)
    code, text = _verify("verify", str(copied), "--key", str(copied.with_name("audit.pub")))
    assert (code != 0, told in text) == (True, True), text


def test_a_change_in_an_older_file_is_found_where_it_is(copied: Path) -> None:
    old = copied.with_name("audit.log.1")
    old.write_bytes(old.read_bytes().replace(b"cubbyhole/x1", b"cubbyhole/y1", 1))
    assert f"{old}: line " in _verify("verify", str(copied))[1]


def test_lines_are_exported_once_they_were_checked(copied: Path) -> None:
    key = str(copied.with_name("audit.pub"))
    whole = sum(_counts(copied))
    out = copied.with_name("out")
    code, text = _verify("export", str(copied), "--key", key, "-o", str(out))
    assert (code, text) == (
        0,
        f"{whole} lines exported; checked: {whole} lines in 3 files, 3 signed heads, the last of line {whole - 1}\n",
    )
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, whole + 1))
    assert _verify("export", str(copied), "--path", "cubbyhole/x3", "--format", "json", "-o", str(out))[0] == 0
    assert [row["event"]["kind"] for row in json.loads(out.read_text())] == ["request", "response"] * 2
    assert _verify("export", str(copied), "--since", "2999-01-01T00:00:00Z", "--format", "json", "-o", str(out))[0] == 0
    assert json.loads(out.read_text()) == []
    assert _verify("export", str(copied), "--path", "cubbyhole/x3", "--format", "syslog", "-o", str(out))[0] == 0
    assert re.match(r"<85>1 \S+Z - ferry-keystore - request \[chain@0 seq=\"\d+\" hash=", out.read_text())
    out.unlink()
    _remove_middle(copied)
    code, text = _verify("export", str(copied), "-o", str(out))
    assert (code != 0, "lines were cut out" in text, out.exists()) == (True, True, False)


def test_a_file_is_rotated_by_size_and_one_that_was_taken_away_is_begun_anew(data: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    with served(data) as daemon:
        client = daemon.unsealed()
        client.sys.enable_audit_device("file", path="a", options={"file_path": str(log), "rotate_bytes": "65536"})
        for number in range(60):
            client.secrets.kv.v1.create_or_update_secret(f"x{number}", {"a": "1"}, mount_point="cubbyhole")
        deadline = time.monotonic() + 10
        while not audit.segments(log) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert audit.segments(log)
        audit.verify(log)
        log.unlink()
        deadline = time.monotonic() + 10
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        client.lookup_token()
    assert any("its file was moved or removed: a new one goes on" in line for line in daemon.lines)
    assert re.search(r"line 1: expected seq \d+, got \d+: \d+ lines were cut out", _verify("verify", str(log))[1])


def test_a_log_that_was_cut_while_nobody_wrote_it_is_told_by_the_store(data: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    with served(data) as daemon:
        client = daemon.unsealed()
        _enable(client, log)
        client.lookup_token()
        token = client.token
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2]))
    log.with_name("audit.log.anchors").unlink()
    daemon.start()
    daemon.reopen(token)
    daemon.stop()
    gap = [one for one in _lines(log) if one["kind"] == "gap"]
    assert [one["seq"] for one in gap] == [2]
    told = f"{log}: line 3: expected seq 3, got {len(lines) + 1}: {len(lines) - 2} lines were cut out"
    assert told in _verify("verify", str(log))[1]


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        ("file", {"retention": "179d"}, "options.retention: expected at least 180d, got 179d"),
        ("file", {"retention": "long"}, "options.retention: expected a duration such as 3600 or '1h30m', got 'long'"),
        ("file", {"rotate_bytes": "10"}, "options.rotate_bytes: expected a number of at least 65536, got '10'"),
        ("file", {"rotate_period": "5s"}, "options.rotate_period: expected at least 60s, got 5s"),
        ("file", {"file_path": "audit.log"}, "options.file_path: expected an absolute path"),
        ("file", {"keep": "1"}, "options: expected one such as 'file_path', got 'keep'"),
        ("syslog", {"facility": "X"}, "options.facility: expected one such as 'AUTH' or 'LOCAL0', got 'X'"),
        ("syslog", {"tag": "a b"}, "options.tag: expected 1 to 32 letters, digits and '._-'"),
        ("syslog", {"address": "/nowhere/log"}, "expected a syslog that takes lines, got 'no such file or directory'"),
        ("socket", {}, "unknown audit device type: 'socket'; there are 'file' and 'syslog'"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    root: hvac.Client, tmp_path: Path, kind: str, options: dict[str, str], told: str
) -> None:
    place = {"file_path": str(tmp_path / "a.log")} if kind == "file" else {}
    with pytest.raises(InvalidRequest) as refused:
        root.sys.enable_audit_device(kind, path="refused", options={**place, **options})
    assert told in str(refused.value)
    assert "refused/" not in root.sys.list_enabled_audit_devices()["data"]


def test_lines_go_to_a_syslog_and_without_one_requests_are_refused(data: Path, tmp_path: Path) -> None:
    address = tmp_path / "log"
    with served(data) as daemon, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(address))
        receiver.settimeout(10)
        client = daemon.unsealed()
        client.sys.enable_audit_device("syslog", path="s", options={"address": str(address), "facility": "LOCAL3"})
        client.secrets.kv.v1.create_or_update_secret("x", {"password": CANARY}, mount_point="cubbyhole")
        # The device's own first line, the response of its making, then request and response of the write.
        messages = [receiver.recv(70_000) for _ in range(4)]
        receiver.close()
        with pytest.raises(InternalServerError, match="cannot write the audit log: the request is refused"):
            client.lookup_token()
        address.unlink()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
            again.bind(str(address))
            client.lookup_token()
    fronts = {re.match(rb"<\d+>ferry-keystore\[\d+\]: ", one)[0] for one in messages}
    assert {one[:5] for one in fronts} == {b"<158>"}
    log = tmp_path / "received.log"
    log.write_bytes(b"".join(one.partition(b": ")[2] + b"\n" for one in messages))
    assert audit.verify(log).count == 4
    assert [one["kind"] for one in _lines(log)] == ["begins", "response", "request", "response"]
    assert CANARY not in log.read_text()


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


def test_an_audit_on_a_medium_that_became_read_only_refuses_all(data: Path, tmp_path: Path) -> None:
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.mkdir()
    image.write_bytes(b"")
    os.truncate(image, 8 << 20)
    if os.system(f"mkfs.ext4 -q {image} && mount -o loop {image} {disk} 2>/dev/null") != 0:
        pytest.skip("this host mounts no image of ext4")
    try:
        with served(data) as daemon:
            client = daemon.unsealed()
            _enable(client, disk / "audit.log")
            client.lookup_token()
            assert os.system(f"mount -o remount,abort {disk}") == 0
            for act in (client.lookup_token, lambda: client.write_data("cubbyhole/x", data={"a": "1"})):
                with pytest.raises(InternalServerError, match="cannot write the audit log: the request is refused"):
                    act()
            token = client.token
        daemon.start()
        # Where no device can be opened the store stays sealed: nothing may be done that is not in the audit.
        with pytest.raises(
            hvac.exceptions.VaultError, match="expected a usable audit file, got 'read-only file system'"
        ):
            daemon.reopen(token)
        assert daemon.client().sys.is_sealed()
        daemon.stop()
    finally:
        os.system(f"umount {disk}")
