"""What runs did to this host: one file of JSON lines per run, each line on the disk before the work goes on."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundler.errors import HostError

ENDED = "ended"
# How a run may end, and the event that says that it turned back.
DONE, UNDONE, HALF_UNDONE = "done", "undone", "half undone"
TURNED = "turned"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """A step of a run as its journal tells it: `seconds` is None where it did not come to its end."""

    step: str
    reason: str
    seconds: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run as its journal tells it: `at` by the host's clock, `outcome` "" where it was cut off."""

    number: int
    at: str
    product: str
    release: int
    manifest_sha256: str
    steps: tuple[StepRecord, ...]
    outcome: str


class Journal:
    """The record of one run; closed by `end`.

    Files are numbered, because the clock of an isolated host may stand anywhere.

    Raises:
        HostError: the disk does not take it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with self._writing():
            directory.mkdir(parents=True, exist_ok=True)
            name = f"{last_run(directory) + 1:06}.jsonl"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._fd = os.open(directory / name, flags, 0o644)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise HostError(f"the journal cannot be written: {error.strerror}", place=str(self._directory)) from error

    def write(self, event: str, **fields: Any) -> None:
        """Append one record and wait until the disk has it.

        Raises:
            HostError: the disk does not take it.
        """
        line = json.dumps({"event": event, **fields}, ensure_ascii=False, sort_keys=True) + "\n"
        data = memoryview(line.encode("utf-8", "surrogateescape"))
        with self._writing():
            while data:
                data = data[os.write(self._fd, data) :]
            os.fsync(self._fd)

    def end(self, outcome: str) -> None:
        """Append the last record and close.

        Raises:
            HostError: the disk does not take it.
        """
        try:
            self.write(ENDED, outcome=outcome)
        finally:
            os.close(self._fd)


def last_run(directory: Path) -> int:
    """Return the number of the newest run, 0 where there was none."""
    return max((int(path.stem) for path in _files(directory)), default=0)


def unfinished_step(directory: Path) -> str | None:
    """Return the step at which the last run stopped without an end, "" before its first; None when it ended."""
    number = last_run(directory)
    if not number or outcome(directory, number):
        return None
    steps = begun_steps(directory, number)
    return steps[-1] if steps else ""


def outcome(directory: Path, number: int) -> str:
    """Return how a run ended, "" where it was cut off."""
    records = _records_of(directory, number)
    return str(records[-1].get("outcome", "")) if records and records[-1].get("event") == ENDED else ""


def begun_steps(directory: Path, first: int) -> tuple[str, ...]:
    """Return the steps that were begun in a run or in one after it."""
    numbers = sorted(int(path.stem) for path in _files(directory) if int(path.stem) >= first)
    records = [record for number in numbers for record in _records_of(directory, number)]
    return tuple(str(record.get("step", "")) for record in records if record.get("event") == "begin")


def has_turned(directory: Path, number: int) -> bool:
    """Say whether a run had begun to undo what it did."""
    return any(record.get("event") == TURNED for record in _records_of(directory, number))


def read_runs(directory: Path) -> tuple[Run, ...]:
    """Return what every run did, the first one first; a run that told nothing before it was cut off is left out."""
    found = []
    for path in sorted(_files(directory), key=lambda path: int(path.stem)):
        records = list(_records(path))
        plan = next((record for record in records if record.get("event") == "plan"), None)
        if plan is not None:
            found.append(_run(int(path.stem), plan, records))
    return tuple(found)


def _run(number: int, plan: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> Run:
    done = {str(one.get("step")): one.get("seconds") for one in records if one.get("event") == "done"}
    begun = [one for one in records if one.get("event") == "begin"]
    release = plan.get("release")
    return Run(
        number=number,
        at=str(plan.get("at", "")),
        product=str(plan.get("product", "")),
        release=release if isinstance(release, int) else 0,
        manifest_sha256=str(plan.get("bundle", "")),
        steps=tuple(
            StepRecord(
                step=str(one.get("step", "")),
                reason=str(one.get("reason", "")),
                seconds=_seconds(done.get(str(one.get("step")))),
            )
            for one in begun
        ),
        outcome=next((str(one.get("outcome", "")) for one in records if one.get("event") == ENDED), ""),
    )


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.glob("*.jsonl") if path.stem.isdecimal()]


def _records_of(directory: Path, number: int) -> list[dict[str, Any]]:
    return [record for path in _files(directory) if int(path.stem) == number for record in _records(path)]


def _records(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        # A line that the power cut through tells nothing.
        with suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict):
                yield record


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold this host for one run; the lock goes with the process.

    Raises:
        HostError: another run holds it, or the lock cannot be made.
    """
    path = directory / "lock"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise HostError(f"the lock cannot be made: {error.strerror}", place=str(path)) from error
    try:
        if not _try_lock(fd, path):
            raise HostError("another run of ferry is at work on this host", hint="wait until it has ended")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            with suppress(OSError):
                directory.rmdir()
    finally:
        os.close(fd)


def _try_lock(fd: int, path: Path) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(fd), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def in_use(directory: Path) -> bool:
    """Say whether a run holds this host now."""
    try:
        fd = os.open(directory / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try_lock(fd, directory / "lock")
    finally:
        os.close(fd)
