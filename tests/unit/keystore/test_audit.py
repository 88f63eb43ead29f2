import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from keystore import audit, sm3
from keystore.errors import KeystoreError
from keystore.marks import host_secret, read_sealed, write_sealed

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "audit.jsonl"
    for number in range(5):
        audit.append(path, {"kind": "override", "number": str(number)}, now=NOW)
    return path


def _refused(act):
    with pytest.raises(KeystoreError) as refused:
        act()
    return str(refused.value)


def test_a_log_grows_and_is_verified(log):
    assert log.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[0]["prev"] == "0" * 64
    assert lines[0]["time"] == "2026-01-31T12:00:00Z"
    body = json.dumps({n: v for n, v in lines[4].items() if n != "hash"}, sort_keys=True, separators=(",", ":"))
    assert audit.verify(log) == audit.Head(count=5, hash=sm3.sm3(body.encode()).hex())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda lines: [lines[0], lines[1].replace(b'"number":"1"', b'"number":"9"'), *lines[2:]],
            "line 2: expected the hash of this line, got another: it was changed",
        ),
        (lambda lines: [lines[0], *lines[3:]], "line 2: expected seq 2, got 4: 2 lines were cut out"),
        (lambda lines: lines[2:], "line 1: expected seq 1, got 3: 2 lines were cut out"),
        (
            lambda lines: [lines[0], lines[0], *lines[1:]],
            "line 2: expected seq 2, got 1: lines were moved or repeated",
        ),
        (
            lambda lines: [*lines[:4], lines[4][:20]],
            "line 5: expected a whole line, got one without its end",
        ),
        (lambda lines: [lines[0], b"{}\n"], "line 2.seq: expected this field, got none"),
    ],
)
def test_every_change_is_found(log, change, message):
    log.write_bytes(b"".join(change(log.read_bytes().splitlines(keepends=True))))
    assert _refused(lambda: audit.verify(log)) == f"{log}: {message}"


def test_a_line_of_another_log_is_found(log, tmp_path):
    other = tmp_path / "other.jsonl"
    audit.append(other, {"kind": "forged"}, now=NOW)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([other.read_bytes(), *lines[1:]]))
    assert _refused(lambda: audit.verify(log)) == (
        f"{log}: line 2: expected the hash of the line before as prev, got another: that line was replaced"
    )


@pytest.mark.parametrize("size", [1, 40])
def test_a_torn_line_is_cut_off_and_told(log, size):
    torn = log.read_bytes().splitlines(keepends=True)[4][:size]
    log.write_bytes(log.read_bytes() + torn)
    head = audit.append(log, {"kind": "next"}, now=NOW)
    assert audit.verify(log) == head
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"]["kind"] for line in lines[5:]] == ["torn-line", "next"]
    assert lines[5]["event"]["text"] == torn.decode()
    assert lines[5]["event"]["bytes"] == str(size)


def test_nothing_is_appended_to_a_changed_end(log):
    log.write_bytes(log.read_bytes().replace(b'"number":"4"', b'"number":"9"'))
    before = log.read_bytes()
    assert _refused(lambda: audit.append(log, {"kind": "next"}, now=NOW)) == (
        f"{log}: last line: expected the hash of this line, got another: it was changed"
    )
    assert log.read_bytes() == before


def test_an_event_too_large_and_a_missing_log_are_refused(log, tmp_path):
    message = _refused(lambda: audit.append(log, {"kind": "x" * 70_000}, now=NOW))
    assert message.startswith("event: expected an event of less than 65536 bytes, got ")
    assert audit.verify(log).count == 5
    none = tmp_path / "none"
    assert _refused(lambda: audit.verify(none)) == f"{none}: expected a usable log, got 'no such file or directory'"


def test_a_full_disk_leaves_the_log_as_it_was(log, monkeypatch):
    before = log.read_bytes()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert _refused(lambda: audit.append(log, {"kind": "next"}, now=NOW)) == (
        f"{log}: expected a usable log, got 'no space left on device'"
    )
    assert log.read_bytes() == before


def test_sealed_documents_come_back(tmp_path):
    secret = host_secret(tmp_path / "keys" / "secret")
    assert secret == host_secret(tmp_path / "keys" / "secret")
    assert (tmp_path / "keys" / "secret").stat().st_mode & 0o777 == 0o600
    path = tmp_path / "marks.json"
    write_sealed(path, {"hello": {"sequence": 3}}, secret)
    assert read_sealed(path, secret) == {"hello": {"sequence": 3}}
    refused = f"{path}: expected a document that this host sealed, got another, or it was altered"
    assert _refused(lambda: read_sealed(path, b"x" * 32)) == refused
    path.write_text(path.read_text().replace("3", "2", 1))
    assert _refused(lambda: read_sealed(path, secret)) == refused
    write_sealed(path, {}, secret)
    renamed = path.rename(tmp_path / "other.json")
    assert "expected a document that this host sealed" in _refused(lambda: read_sealed(renamed, secret))


def test_a_secret_that_others_read_or_that_is_damaged_is_refused(tmp_path):
    path = tmp_path / "keys" / "secret"
    host_secret(path)
    path.chmod(0o644)
    assert _refused(lambda: host_secret(path)) == f"{path}: expected mode 0600, got 0644"
    path.chmod(0o600)
    path.write_bytes(b"short")
    assert _refused(lambda: host_secret(path)) == f"{path}: expected a secret of 32 bytes, got 5"


@pytest.fixture
def rotated(tmp_path):
    """A log of nine lines in three files."""
    path = tmp_path / "audit.jsonl"
    for number in range(9):
        audit.append(path, {"kind": "override", "number": str(number)}, now=NOW, most_bytes=700)
    return path


def _cut(path, keep):
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[keep]))


def test_a_log_that_has_grown_goes_on_in_another_file(rotated):
    names = [path.name for path in audit.segments(rotated)]
    assert names == ["audit.jsonl.1", "audit.jsonl.2"]
    assert rotated.with_name(names[0]).stat().st_mode & 0o777 == 0o600
    assert [line.seq for line in audit.read(rotated)] == list(range(1, 10))
    assert audit.verify(rotated) == audit.last(rotated)
    assert audit.verify(rotated).count == 9


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda log: log.with_name("audit.jsonl.1").unlink(),
            "audit.jsonl.2: line 1: expected seq 1, got 5: 4 lines were cut out",
        ),
        (
            lambda log: log.with_name("audit.jsonl.2").unlink(),
            "audit.jsonl: line 1: expected seq 5, got 9: 4 lines were cut out",
        ),
        (
            lambda log: _cut(log.with_name("audit.jsonl.1"), slice(0, 2)),
            "audit.jsonl.2: line 1: expected seq 3, got 5: 2 lines were cut out",
        ),
        (
            lambda log: log.with_name("audit.jsonl.2").write_bytes(
                log.with_name("audit.jsonl.2").read_bytes().replace(b'"number":"5"', b'"number":"0"')
            ),
            "audit.jsonl.2: line 2: expected the hash of this line, got another: it was changed",
        ),
    ],
)
def test_a_change_in_any_of_its_files_is_found(rotated, spoil, message):
    spoil(rotated)
    assert _refused(lambda: audit.verify(rotated)) == f"{rotated.parent}/{message}"


def test_power_lost_while_a_log_is_moved_aside(rotated):
    head = audit.last(rotated)
    rotated.rename(rotated.with_name("audit.jsonl.3"))
    assert audit.last(rotated) == audit.verify(rotated) == head
    assert audit.append(rotated, {"kind": "next"}, now=NOW, most_bytes=700).count == 10
    assert audit.verify(rotated).count == 10


def test_a_torn_line_is_told_in_the_file_where_it_stands(rotated):
    with rotated.open("ab") as file:
        file.write(b'{"event"')
    assert [line.seq for line in audit.read(rotated, leave_torn=True)] == list(range(1, 10))
    audit.append(rotated, {"kind": "next"}, now=NOW, most_bytes=1)
    assert len(audit.segments(rotated)) == 2
    assert [line.event["kind"] for line in audit.read(rotated)][9:] == ["torn-line", "next"]
    audit.append(rotated, {"kind": "next"}, now=NOW, most_bytes=1)
    assert len(audit.segments(rotated)) == 3
    assert audit.verify(rotated).count == 12


def test_many_writers_make_one_chain(tmp_path):
    path = tmp_path / "audit.jsonl"

    def write(writer):
        for number in range(20):
            audit.append(path, {"writer": str(writer), "number": str(number)}, now=NOW, most_bytes=900)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    found = list(audit.read(path))
    assert [line.seq for line in found] == list(range(1, 81))
    for writer in range(4):
        assert [line.event["number"] for line in found if line.event["writer"] == str(writer)] == list(
            map(str, range(20))
        )


def test_no_log_has_no_line(tmp_path):
    assert not audit.exists(tmp_path / "none")
    assert audit.last(tmp_path / "none") == audit.Head(count=0, hash="0" * 64)
