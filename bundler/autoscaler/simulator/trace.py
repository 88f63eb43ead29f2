"""Traces: request rows, or windows of rates and tokens, read strictly from CSV or JSON lines, gzipped or not."""

from __future__ import annotations

import csv
import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bundler.errors import HostError

Floats = npt.NDArray[np.float64]

_GZIP = b"\x1f\x8b"
_FORMATS = (
    "TIMESTAMP,ContextTokens,GeneratedTokens; t,rate_rps,covered_rate_rps,in_tok_s,out_tok_s; client,t,rate,cv,... "
    'or lines of {"timestamp", "input_length", "output_length"}'
)
# Where a file tells rates only: the sizes of a chat, which set the share of prefill and no figure that is compared.
_USUAL_INPUT, _USUAL_OUTPUT = 1000.0, 250.0
_MOST_SECONDS = 400 * 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestTrace:
    """Requests one by one: seconds since the first, tokens in, tokens out."""

    at_s: Floats
    input_tokens: Floats
    output_tokens: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowTrace:
    """Windows of one length: mean rate (requests/s), tokens of a request, dispersion of counts; `gaps` had no data."""

    window_s: float
    rate: Floats
    input_tokens: Floats
    output_tokens: Floats
    dispersion: Floats
    gaps: int

    def at(self, moments: Floats, values: Floats) -> Floats:
        """Return the values of the windows that moments fall into: as in the source, a rate holds for its window."""
        places = np.minimum((moments // self.window_s).astype(np.int64), len(values) - 1)
        return np.asarray(values[places], dtype=np.float64)


Trace = RequestTrace | WindowTrace


def read_trace(path: Path) -> Trace:
    """Read a trace in any format that is known by its first line.

    Raises:
        HostError: the file cannot be read, has another format, or a line of it is wrong.
    """
    lines = _lines(path)
    first = next(lines, "")
    if first.startswith("{"):
        return _requests(_json_rows(path, first, lines), path)
    columns = tuple(first.split(","))
    if columns not in _CSV:
        raise HostError(
            f'expected a trace, got a file that begins with "{first[:60]}"',
            place=str(path),
            hint=f"first lines that are known: {_FORMATS}",
        )
    return _CSV[columns](path, csv.reader(lines))


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as text:
            yield from (line.rstrip("\r\n") for line in text)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise HostError("expected a whole gzip file, got a damaged one", place=str(path)) from error
    except UnicodeDecodeError as error:
        raise HostError("expected text in UTF-8, got other bytes", place=str(path)) from error


def _json_rows(path: Path, first: str, lines: Iterator[str]) -> Iterator[tuple[float, float, float]]:
    number = 1
    line: str | None = first
    while line is not None:
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise HostError("expected a JSON object a line, got something else", place=place) from error
        if not isinstance(row, dict):
            raise HostError("expected a JSON object a line, got something else", place=place)
        at, size, out = (_field(row, name, place) for name in ("timestamp", "input_length", "output_length"))
        yield at / 1000, size, out
        number += 1
        line = next(lines, None)


def _field(row: Mapping[str, object], name: str, place: str) -> float:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise HostError(f'expected a number as "{name}", got {json.dumps(value)[:40]}', place=place)
    return _checked(float(value), name, place)


def _checked(value: float, name: str, place: str) -> float:
    if not math.isfinite(value) or value < 0:
        raise HostError(f'expected a number of at least 0 as "{name}", got {value:g}', place=place)
    return value


def _number(text: str, name: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise HostError(f'expected a number as "{name}", got "{text[:40]}"', place=place) from error
    return _checked(value, name, place)


def _rows(path: Path, reader: Iterator[list[str]], width: int) -> Iterator[tuple[str, list[str]]]:
    for number, row in enumerate(reader, start=2):
        if len(row) != width:
            raise HostError(f"expected {width} columns, got {len(row)}", place=f"{path}:{number}")
        yield f"{path}:{number}", row


def _azure(path: Path, reader: Iterator[list[str]]) -> RequestTrace:
    def parsed() -> Iterator[tuple[float, float, float]]:
        for place, (at, size, out) in _rows(path, reader, 3):
            yield _timestamp(at, place), _number(size, "ContextTokens", place), _number(out, "GeneratedTokens", place)

    return _requests(parsed(), path)


def _timestamp(text: str, place: str) -> float:
    # Seven digits of a second are more than datetime takes: the fraction is added apart.
    whole, _, fraction = text.partition(".")
    zone = fraction.find("+")
    digits = fraction if zone < 0 else fraction[:zone]
    try:
        moment = datetime.fromisoformat(whole)
        seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        return seconds + float(f"0.{digits or 0}")
    except ValueError as error:
        raise HostError(
            f'expected a time such as 2023-11-16 18:17:03.979 as "TIMESTAMP", got "{text[:40]}"', place=place
        ) from error


def _requests(rows: Iterator[tuple[float, float, float]], path: Path) -> RequestTrace:
    table = np.array(list(rows), dtype=np.float64).reshape(-1, 3)
    if len(table) < 2:
        raise HostError(f"expected at least 2 requests, got {len(table)}", place=str(path))
    table = table[np.argsort(table[:, 0], kind="stable")]
    table[:, 0] -= table[0, 0]
    if not 0 < table[-1, 0] <= _MOST_SECONDS:
        raise HostError(f"expected requests over 1 s to 400 days, got {table[-1, 0]:g} s", place=str(path))
    return RequestTrace(at_s=table[:, 0], input_tokens=table[:, 1], output_tokens=table[:, 2])


def _aggregate(path: Path, reader: Iterator[list[str]]) -> WindowTrace:
    names = ("t", "rate_rps", "covered_rate_rps", "in_tok_s", "out_tok_s")
    rows = {}
    for place, row in _rows(path, reader, len(names)):
        at, *values = (_number(text, name, place) for text, name in zip(row, names, strict=True))
        if at in rows:
            raise HostError(f"expected each window once, got t = {at:g} twice", place=place)
        rows[at] = values
    slots, window = _slots(sorted(rows), path)
    table = np.zeros((int(slots[-1]) + 1, 4))
    table[slots] = [rows[at] for at in sorted(rows)]
    rate, covered, inputs, outputs = table.T
    sizes = [_sizes(rate, covered, each) for each in (inputs, outputs)]
    return _windows(path, window, rate, sizes[0], sizes[1], np.ones(len(rate)))


def _sizes(rate: Floats, covered: Floats, tokens: Floats) -> Floats:
    """Return the mean tokens of a request in each window; requests whose size is unknown are of the trace's mean."""
    if covered.sum() <= 0:
        return np.full(len(rate), np.nan)
    usual = tokens.sum() / covered.sum()
    whole = tokens + np.maximum(rate - covered, 0) * usual
    return np.asarray(np.divide(whole, rate, out=np.full(len(rate), np.nan), where=rate > 0), dtype=np.float64)


def _slots(starts: list[float], path: Path) -> tuple[npt.NDArray[np.int64], float]:
    """Return which window each start is, and the length of a window: the least distance between two."""
    if len(starts) < 3:
        raise HostError(f"expected at least 3 windows, got {len(starts)}", place=str(path))
    times = np.array(starts)
    window = float(np.diff(times).min())
    slots = np.rint((times - times[0]) / window).astype(np.int64)
    if times[-1] - times[0] > _MOST_SECONDS or np.abs((times - times[0]) - slots * window).max() > window * 1e-6:
        raise HostError(f"expected windows at multiples of {window:g} s within 400 days", place=str(path))
    return slots, window


def _rates(path: Path, reader: Iterator[list[str]]) -> WindowTrace:
    tokens = _tokens_beside(path)
    sums: dict[float, list[float]] = {}
    for place, (client, at, rate, cv, _, _, _) in _rows(path, reader, 7):
        start, per_s, spread = (_number(x, n, place) for x, n in ((at, "t"), (rate, "rate"), (cv, "cv")))
        sizes = tokens(client, start)
        row = sums.setdefault(start, [0.0] * 5)
        row[0] += per_s
        row[1] += per_s * spread * spread
        if sizes is not None:
            row[2] += per_s
            row[3] += per_s * sizes[0]
            row[4] += per_s * sizes[1]
    starts = sorted(sums)
    slots, window = _slots(starts, path)
    table = np.zeros((int(slots[-1]) + 1, 5))
    table[slots] = [sums[at] for at in starts]
    rate_of, squares, covered, inputs, outputs = table.T
    sizes_of = [_sizes(rate_of, covered, each) for each in (inputs, outputs)]
    dispersion = np.divide(squares, rate_of, out=np.ones(len(rate_of)), where=rate_of > 0)
    return _windows(path, window, rate_of, sizes_of[0], sizes_of[1], dispersion)


def _tokens_beside(path: Path) -> Callable[[str, float], tuple[float, float] | None]:
    """Return what tells a client's mean tokens at a time, from the file of tokens beside that of rates."""
    beside = path.with_name(path.name.replace("_rates", "_tokens"))
    known: dict[str, dict[str, list[tuple[float, float]]]] = {}
    if beside != path and beside.is_file():
        lines = _lines(beside)
        if tuple(next(lines, "").split(",")) != _TOKENS:
            raise HostError(f"expected the columns {','.join(_TOKENS)}", place=str(beside))
        for place, (client, at, field, mean, _, _, _) in _rows(beside, csv.reader(lines), 7):
            row = known.setdefault(client, {}).setdefault(field, [])
            row.append((_number(at, "t", place), _number(mean, "mean", place)))

    def sizes(client: str, at: float) -> tuple[float, float] | None:
        fields = known.get(client)
        if not fields or not {"input_tokens", "output_tokens"} <= fields.keys():
            return None
        return _latest(fields["input_tokens"], at), _latest(fields["output_tokens"], at)

    return sizes


def _latest(rows: list[tuple[float, float]], at: float) -> float:
    before = [mean for start, mean in rows if start <= at]
    return before[-1] if before else rows[0][1]


def _windows(
    path: Path, window: float, rate: Floats, inputs: Floats, outputs: Floats, dispersion: Floats
) -> WindowTrace:
    """Fill what is missing between its neighbours: a window without data is no idle service."""
    there = rate > 0
    if there.sum() < 3:
        raise HostError(f"expected at least 3 windows with a rate, got {int(there.sum())}", place=str(path))
    index = np.arange(len(rate), dtype=np.float64)

    def filled(values: Floats, known: npt.NDArray[np.bool_], otherwise: float) -> Floats:
        if not known.any():
            return np.full(len(values), otherwise)
        return np.interp(index, index[known], values[known])

    return WindowTrace(
        window_s=window,
        rate=filled(rate, there, 0.0),
        input_tokens=filled(inputs, there & np.isfinite(inputs), _USUAL_INPUT),
        output_tokens=filled(outputs, there & np.isfinite(outputs), _USUAL_OUTPUT),
        dispersion=filled(dispersion, there, 1.0),
        gaps=int((~there).sum()),
    )


def _no_rates(path: Path, _: Iterator[list[str]]) -> Trace:
    raise HostError(
        "expected arrivals, got a file that tells sizes of requests only",
        place=str(path),
        hint="give the _rates file beside it; its sizes are then read from here",
    )


_TOKENS = ("client", "t", "field", "mean", "p50", "p90", "p99")
_CSV: Mapping[tuple[str, ...], Callable[[Path, Iterator[list[str]]], Trace]] = {
    ("TIMESTAMP", "ContextTokens", "GeneratedTokens"): _azure,
    ("t", "rate_rps", "covered_rate_rps", "in_tok_s", "out_tok_s"): _aggregate,
    ("client", "t", "rate", "cv", "pattern", "p1", "p2"): _rates,
    _TOKENS: _no_rates,
}
