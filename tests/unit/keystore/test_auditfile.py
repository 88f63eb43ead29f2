"""The audit file of the service: it goes on where it ended, says what was lost, removes what was kept long enough."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keystore import audit, heads
from keystore.chain import START, Head
from keystore.errors import KeystoreError
from keystore.service.auditfile import AuditFile

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
NONE = Head(count=0, hash=START)
DAY = timedelta(days=1)


def _opened(path: Path, kept: Head = NONE, lines: tuple[bytes, ...] = (), now: datetime = NOW) -> AuditFile:
    file = AuditFile(path, 0o600)
    file.open(now, kept, lines)
    return file


def _kinds(path: Path) -> list[str]:
    return [line.event["kind"] for line in audit.read(path)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.log"
    file = _opened(path)
    for number in range(3):
        file.append({"kind": "request", "number": number}, NOW)
    file.close()
    return path


def test_it_goes_on_where_it_ended(log: Path) -> None:
    file = _opened(log)
    assert (file.head, file.begun) == (audit.last(log), NOW)
    file.append({"kind": "more"}, NOW)
    assert audit.verify(log) == file.head


def test_it_goes_on_after_a_loss_of_power_between_two_files(log: Path) -> None:
    head = audit.last(log)
    log.rename(log.with_name("audit.log.1"))
    file = _opened(log)
    assert file.head == head
    file.append({"kind": "more"}, NOW)
    assert audit.verify(log).count == 4


def test_a_kept_line_comes_back_in_front_of_the_line_that_tells_of_the_torn_one(log: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2]) + lines[2][:30])
    _opened(log, lines=tuple(lines)).close()
    assert log.read_bytes().startswith(b"".join(lines))
    assert _kinds(log) == ["request", "request", "request", "torn-line"]


def test_a_log_that_ends_before_its_kept_head_says_so(log: Path) -> None:
    head = audit.last(log)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:1]))
    _opened(log, head).close()
    with pytest.raises(KeystoreError, match="line 2: expected seq 2, got 4: 2 lines were cut out"):
        audit.verify(log)


def test_a_log_whose_last_line_is_another_says_so(log: Path) -> None:
    _opened(log, Head(count=3, hash="5" * 64)).close()
    with pytest.raises(KeystoreError, match="line 4: expected the hash of the line before as prev, got another"):
        audit.verify(log)


def test_old_files_are_removed_after_their_time_and_a_line_says_so(log: Path) -> None:
    file = _opened(log)
    for day in range(1, 4):
        file.append({"kind": "request"}, NOW + 100 * day * DAY)
        file.rotate(NOW + 100 * day * DAY)
    assert file.retire(NOW + 270 * DAY, 180 * DAY) == []
    assert file.retire(NOW + 281 * DAY, 180 * DAY) == ["audit.log.1"]
    assert file.retire(NOW + 400 * DAY, 180 * DAY) == ["audit.log.2"]
    found = heads.verify(log, [], None)
    assert (found.files, found.first, found.last) == (2, 7, 11)
    log.with_name("audit.log.3").unlink()
    with pytest.raises(KeystoreError) as refused:
        heads.verify(log, [], None)
    assert (
        str(refused.value) == f"{log}: expected line 1 first, got 9: nothing says that 8 lines were kept for their time"
    )


def test_removing_too_early_is_found(log: Path) -> None:
    file = _opened(log)
    file.rotate(NOW)
    assert file.retire(NOW + 100 * DAY, 10 * DAY) == ["audit.log.1"]
    with pytest.raises(KeystoreError) as refused:
        heads.verify(log, [], None)
    assert str(refused.value) == f"{log}: seq 5: expected 180 days of retention or more, got 100"


def test_what_cannot_be_read_or_removed_is_told(log: Path) -> None:
    file = _opened(log)
    log.with_name("audit.log.1").mkdir()
    with pytest.raises(KeystoreError) as refused:
        file.retire(NOW + 200 * DAY, 180 * DAY)
    assert str(refused.value) == f"{log}.1: expected a usable audit file, got 'is a directory'"
    log.with_name("audit.log.1").rmdir()
    file.append({"kind": "more"}, NOW)
    assert audit.verify(log).count == 4
