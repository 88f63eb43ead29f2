"""What was acknowledged stays, whatever happens to process or disk; what was not is told."""

import contextlib
import os
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import hvac
import pytest
from daemon import Daemon, served

from keystore import audit

_ROUNDS = 4
_GONE = (hvac.exceptions.VaultError, OSError)


def _write(daemon: Daemon, token: str, name: str, acknowledged: list[str]) -> None:
    client = daemon.client(token)
    with contextlib.suppress(*_GONE):
        for number in range(10_000):
            path = f"{name}-{number}"
            client.secrets.kv.v1.create_or_update_secret(path, {"v": path}, method="POST", mount_point="s")
            acknowledged.append(path)


def test_no_acknowledged_write_is_lost_by_kill_9(data: Path, tmp_path: Path) -> None:
    daemon = Daemon(data).start()
    root = daemon.unsealed()
    root.sys.enable_secrets_engine("kv", "s")
    root.sys.enable_audit_device("file", path="a", options={"file_path": str(tmp_path / "audit.log")})
    acknowledged: list[str] = []
    for loop in range(_ROUNDS):
        writers = [
            threading.Thread(target=_write, args=(daemon, root.token, f"{loop}-{writer}", acknowledged))
            for writer in range(3)
        ]
        for writer in writers:
            writer.start()
        before = len(acknowledged)
        while len(acknowledged) < before + 5:
            time.sleep(0.005)
        time.sleep(0.03 * loop)
        daemon.kill()
        for writer in writers:
            writer.join()
        daemon.start()
        root = daemon.reopen(root.token)
    found = set(root.secrets.kv.v1.list_secrets("", mount_point="s")["data"]["keys"])
    assert set(acknowledged) <= found
    for path in acknowledged[-5:]:
        assert root.secrets.kv.v1.read_secret(path, mount_point="s")["data"] == {"v": path}
    daemon.stop()
    text = (tmp_path / "audit.log").read_text()
    assert all(f'"path":"s/{path}"' in text for path in acknowledged)


def test_a_loss_of_power_takes_no_audit_of_an_acknowledged_change(data: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    daemon = Daemon(data).start()
    root = daemon.unsealed()
    root.sys.enable_audit_device("file", path="a", options={"file_path": str(log)})
    root.write_data("cubbyhole/last", data={"v": "1"})
    daemon.kill()
    lines = log.read_bytes().splitlines(keepends=True)
    assert b'"kind":"request"' in lines[-2]
    # As a loss of power leaves it: the store's sync was done, the file's was still to come.
    log.write_bytes(b"".join(lines[:-2]))
    daemon.start()
    daemon.reopen(root.token)
    daemon.stop()
    found = log.read_bytes().splitlines(keepends=True)
    assert found[len(lines) - 2] == lines[-2]
    audit.verify(log)


def test_a_full_disk_refuses_and_harms_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=1m tmpfs {disk}") != 0:
        pytest.skip("this host mounts no tmpfs")
    try:
        with served(disk / "data") as daemon:
            client = daemon.unsealed()
            client.sys.enable_secrets_engine("kv", "s")
            kept = _fill(client)
            assert kept
            assert client.secrets.kv.v1.read_secret(kept[-1], mount_point="s")["data"]["v"] == "x" * 8000
            assert client.sys.read_health_status().status_code == 200
            token = client.token
            daemon.kill()
            os.system(f"mount -o remount,size=8m {disk}")
            daemon.start()
            client = daemon.reopen(token)
            found = client.secrets.kv.v1.list_secrets("", mount_point="s")["data"]["keys"]
            assert set(kept) <= set(found)
            client.secrets.kv.v1.create_or_update_secret("after", {"v": "1"}, mount_point="s")
    finally:
        os.system(f"umount {disk}")


def _run(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_a_disk_that_became_read_only_refuses_and_harms_nothing(tmp_path: Path) -> None:
    """As the kernel makes it after an error of the medium, with the store's files open."""
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.mkdir()
    image.write_bytes(b"")
    os.truncate(image, 24 << 20)
    if not (_run("mkfs.ext4", "-q", str(image)) and _run("mount", "-o", "loop", str(image), str(disk))):
        pytest.skip("this host mounts no image of ext4")
    daemon = Daemon(disk / "data")
    try:
        client = daemon.start().unsealed()
        client.sys.enable_secrets_engine("kv", "s")
        client.sys.enable_audit_device("file", path="a", options={"file_path": str(tmp_path / "audit.log")})
        client.secrets.kv.v1.create_or_update_secret("before", {"v": "1"}, mount_point="s")
        assert _run("mount", "-o", "remount,abort", str(disk))
        for _ in range(3):
            with pytest.raises(hvac.exceptions.InternalServerError, match="expected a usable store, got '"):
                client.secrets.kv.v1.create_or_update_secret("refused", {"v": "1"}, method="POST", mount_point="s")
        assert client.secrets.kv.v1.read_secret("before", mount_point="s")["data"] == {"v": "1"}
        assert client.sys.read_health_status().status_code == 200
        daemon.stop()
        with pytest.raises(AssertionError, match="expected a usable file or directory, got 'read-only file system'"):
            daemon.start()
        assert not any("Traceback" in line for line in daemon.lines)
        assert _run("umount", str(disk))
        assert _run("mount", "-o", "loop", str(image), str(disk))
        again = daemon.start().reopen(client.token)
        again.secrets.kv.v1.create_or_update_secret("after", {"v": "2"}, mount_point="s")
        assert again.secrets.kv.v1.list_secrets("", mount_point="s")["data"]["keys"] == ["after", "before"]
        daemon.stop()
        audit.verify(tmp_path / "audit.log")
    finally:
        daemon.kill()
        _run("umount", str(disk))


def _fill(client: hvac.Client) -> list[str]:
    """Write until the disk is full, and go on for a while: every refusal is a 500 that says why."""
    kept, refused = [], 0
    for number in range(400):
        try:
            client.secrets.kv.v1.create_or_update_secret(
                f"n{number}", {"v": "x" * 8000}, method="POST", mount_point="s"
            )
            kept.append(f"n{number}")
        except hvac.exceptions.InternalServerError as error:
            assert "expected a usable store, got 'database or disk is full'" in str(error) or "disk I/O" in str(error)  # noqa: PT017
            refused += 1
            if refused == 3:
                return kept
    raise AssertionError("the disk did not become full")


def test_what_was_changed_from_outside_is_found_at_the_unseal(data: Path) -> None:
    with served(data) as daemon:
        client = daemon.unsealed()
        client.sys.enable_secrets_engine("kv", "s")
        client.secrets.kv.v1.create_or_update_secret("x", {"v": "1"}, mount_point="s")
        old = _rows(data)
        client.secrets.kv.v1.create_or_update_secret("x", {"v": "2"}, mount_point="s")
    (path,) = [path for path in old if path.endswith("/x")]
    # A record is put back as it once was: its own tag is right, the sum over all is not.
    with contextlib.closing(sqlite3.connect(data / "store.db")) as connection, connection:
        connection.execute(
            "UPDATE record SET version=?, generation=?, term=?, sealed=? WHERE path=?", (*old[path], path)
        )
    daemon.start()
    with pytest.raises(hvac.exceptions.InternalServerError, match="of which some were changed, cut out or put back"):
        daemon.reopen("")
    assert daemon.client().sys.is_sealed()
    daemon.stop()


def _rows(data: Path) -> dict[str, tuple[int, int, int, bytes]]:
    with contextlib.closing(sqlite3.connect(data / "store.db")) as connection:
        rows = connection.execute("SELECT path, version, generation, term, sealed FROM record").fetchall()
    return {path: (version, generation, term, sealed) for path, version, generation, term, sealed in rows}


def test_leases_and_tokens_survive_a_restart_and_end_after_it(data: Path) -> None:
    with served(data) as daemon:
        root = daemon.unsealed()
        short = root.auth.token.create(ttl="2s", policies=["root"])["auth"]["client_token"]
        long = root.auth.token.create(ttl="1h", policies=["root"])["auth"]["client_token"]
        daemon.kill()
        daemon.start()
        again = daemon.reopen(root.token)
        assert daemon.client(long).is_authenticated()
        deadline = time.monotonic() + 20
        while len(again.auth.token.list_accessors()["data"]["keys"]) > 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(again.auth.token.list_accessors()["data"]["keys"]) == 2
        assert not daemon.client(short).is_authenticated()
