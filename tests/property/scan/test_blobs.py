"""Whatever the bytes are: a scan ends, says what it found or that it could not read, and raises nothing."""

import gzip
import io
import json
import zipfile
from typing import Any

from artifacts import make_tar, make_wheel
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.model.egress import Allowed
from bundler.scan.blob import Scanned, scan_file, scan_layer, scan_wheel
from bundler.scan.finding import Finding, make_report, parse_allows
from bundler.scan.image import config_digest, parse_start
from bundler.scan.rules import CODE, NAME, SETTING, SHELL, read_rules
from bundler.scan.text import scan_mcp, scan_text

RULES = read_rules()
ENTRY = b"#!/bin/sh\nnpx x\n"
TAR = make_tar(
    ("a", None), ("app/a.sh", ENTRY), ("app/.wh.b", b""), ("名.py", b'os.system("uvx y")\n'), ("z", b"0" * 900)
)
WHEEL = make_wheel("one", "1.0", {"one/a.sh": ENTRY, "one/b.py": b'nltk.download("x")\n' * 40})[1]
words = st.sampled_from(
    [
        "npx ",
        "pip install ",
        "curl ",
        "https://",
        "example.com/",
        '"',
        "'",
        ",",
        "\n",
        "\\\n",
        "#",
        "[",
        "command: ",
        "\0",
        "é",
    ]
)


def look(kind: Any, data: bytes) -> Scanned:
    scanned: Scanned = kind(io.BytesIO(data), len(data), RULES)
    assert Scanned.from_facts(scanned.facts()) == scanned
    return scanned


@settings(deadline=None, max_examples=80)
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"PK\x05\x06"])
)
def test_any_bytes_are_a_blob(data: bytes, magic: bytes) -> None:
    look(scan_layer, magic + data)
    assert look(scan_wheel, magic + data).found == ()


PACKED = [bytes, gzip.compress, zstd.compress]


@settings(deadline=None, max_examples=150)
@given(st.integers(0, len(TAR) - 1), st.binary(min_size=1, max_size=12), st.sampled_from(PACKED), st.booleans())
def test_a_spoiled_layer_is_read_or_told(start: int, other: bytes, packed: Any, inside: bool) -> None:
    if inside:
        raw = packed(TAR[:start] + other + TAR[start + len(other) :])
    else:
        whole = packed(TAR)
        start %= len(whole)
        raw = whole[:start] + other + whole[start + len(other) :]
    look(scan_layer, raw)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, len(WHEEL) - 1), st.binary(min_size=1, max_size=12), st.booleans())
def test_a_spoiled_wheel_is_read_or_told(start: int, other: bytes, deflated: bool) -> None:
    whole = WHEEL
    if deflated:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(WHEEL)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
        whole = out.getvalue()
    start %= len(whole)
    look(scan_wheel, whole[:start] + other + whole[start + len(other) :])


@settings(deadline=None, max_examples=100)
@given(st.lists(words | st.text(max_size=5), max_size=30).map("".join), st.sampled_from([SHELL, CODE, SETTING, NAME]))
def test_any_text_gives_lines_that_are_there(text: str, form: str) -> None:
    data = text.encode("utf-8", "replace")
    for hit in scan_text(data, form, RULES):
        assert 1 <= hit.line <= 1 + data.count(b"\n")
        assert hit.found.isprintable()
        assert len(hit.found) <= 163


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["mcpServers", "command", "args", "url", "config", "Entrypoint", "Env", "Healthcheck", "Test"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(json_values)
def test_any_json_is_a_configuration_or_none(value: Any) -> None:
    data = json.dumps(value).encode()
    scan_mcp(data, RULES)
    config_digest(data)
    start = parse_start(data)
    assert all(isinstance(word, str) for _, vector in start.vectors for word in vector)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200), st.sampled_from(["a.sh", "a.py", "a.json", "pip.conf", "run", "a.bin", "", "é/\n"]))
def test_any_file_is_read(data: bytes, path: str) -> None:
    scan_file(io.BytesIO(data), path, RULES)


lines = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=9)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.builds(Allowed, rule=st.sampled_from(["npx", "connection"]), where=lines, reason=lines), max_size=3))
def test_what_a_report_allows_comes_back(allowed: list[Allowed]) -> None:
    finding = Finding(rule="npx", severity="error", item="a")
    assert parse_allows(make_report([finding], allowed).document()) == tuple(allowed)
