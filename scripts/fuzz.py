"""Fuzz what reads strangers' bytes, guided by coverage: python scripts/fuzz.py TARGET [--seconds 60].

atheris is needed (group `fuzz` of pyproject.toml). Each target may answer with its own errors alone; anything else is
a finding, whose input lies in `crash-*` in the current folder. With `--all` every target runs in a process of its own.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def _policy() -> Callable[[bytes], object]:
    from keystore.access import policy
    from keystore.access.acl import Acl

    return lambda data: Acl(policy.parse(data.decode("utf-8", "replace"))).capabilities("secret/data/x")


def _body() -> Callable[[bytes], object]:
    from keystore.service import inbound

    return inbound.parse


def _document() -> Callable[[bytes], object]:
    from keystore import document

    return lambda data: document.parse(data, "x")


def _head() -> Callable[[bytes], object]:
    from keystore.server import http

    def act(data: bytes) -> object:
        found = http.parse_head(data)
        return found.path, found.query

    return act


def _chunks() -> Callable[[bytes], object]:
    from keystore.server import http

    return lambda data: http.Chunks().feed(bytearray(data))


def _der() -> Callable[[bytes], object]:
    from keystore import der

    def act(data: bytes) -> object:
        reader = der.Reader(data, "x").take_reader(der.SEQUENCE)
        reader.take_integer()
        reader.take_integer()
        return reader.end()

    return act


def _keys() -> Callable[[bytes], object]:
    from keystore import encoding

    def act(data: bytes) -> object:
        curve = encoding.public_algorithm(data)
        encoding.decode_public(data)
        encoding.decode_private(data)
        return curve

    return act


def _certificate() -> Callable[[bytes], object]:
    from keystore import certificate, encoding

    return lambda data: certificate.parse_certificate(encoding.encode_pem("CERTIFICATE", data).encode())


def _base64() -> Callable[[bytes], object]:
    from keystore import document
    from keystore.engines import body

    def act(data: bytes) -> object:
        text = data.decode("utf-8", "replace")
        body.decode_base64(text)
        return document.decode_base64(text, "x")

    return act


def _envelope() -> Callable[[bytes], object]:
    from keystore.envelope import parse_envelope

    return parse_envelope


def _line() -> Callable[[bytes], object]:
    from keystore.chain import parse_line

    return lambda data: parse_line(data, "x")


def _duration() -> Callable[[bytes], object]:
    from keystore.access import duration

    return lambda data: duration.parse(data.decode("utf-8", "replace"), "x")


TARGETS: Mapping[str, Callable[[], Callable[[bytes], object]]] = {
    "policy": _policy,
    "json-body": _body,
    "json-document": _document,
    "http-head": _head,
    "http-chunks": _chunks,
    "der": _der,
    "der-keys": _keys,
    "der-certificate": _certificate,
    "base64": _base64,
    "envelope": _envelope,
    "audit-line": _line,
    "duration": _duration,
}
_SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "policy": (
        b'path "a/*" { capabilities = ["read", "list"] }',
        b'{"path": {"a/+": {"capabilities": ["deny"], "allowed_parameters": {"x": []}}}}',
    ),
    "json-body": (b'{"a": [1, "\\u00e4", null]}',),
    "json-document": (b'{"a":{"b":1}}',),
    "http-head": (b"POST /v1/a%20b?list=true HTTP/1.1\r\nContent-Length: 3\r\nX-Vault-Token: t",),
    "http-chunks": (b"3\r\nabc\r\n0\r\n\r\n",),
    "der": (bytes.fromhex("3006020101020102"),),
    "der-keys": (bytes.fromhex("301306072a8648ce3d020106082a811ccf5501822d"),),
    "base64": (b"YWJj", b"YQ=="),
    "envelope": (b'{"payload":"YQ==","payloadType":"x","signatures":[{"keyid":"a","sig":"YQ=="}]}',),
    "audit-line": (b'{"event":{"kind":"x"},"hash":"00","prev":"00","seq":1,"time":"2026-01-31T12:00:00Z"}\n',),
    "duration": (b"1h30m", b"7d"),
}


def run(name: str, seconds: int) -> None:
    """Fuzz one target in this process."""
    import atheris

    with atheris.instrument_imports(include=["keystore"]):
        act = TARGETS[name]()
        from keystore.errors import KeystoreError
        from keystore.server.http import HttpError

    def once(data: bytes) -> None:
        try:
            act(data)
        except (KeystoreError, HttpError):
            return

    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for number, seed in enumerate(_SEEDS.get(name, ())):
            (Path(folder) / str(number)).write_bytes(seed)
        atheris.Setup(
            [sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", "-print_final_stats=1", folder], once
        )
        atheris.Fuzz()


def run_all(seconds: int) -> int:
    """Fuzz every target, each in a process of its own, and tell a line of figures for each."""
    failed = 0
    for name in TARGETS:
        words = [sys.executable, __file__, name, "--seconds", str(seconds)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=seconds + 120)
        text = done.stderr + done.stdout
        runs = re.findall(r"number_of_executed_units:\s*(\d+)", text)
        covered = re.findall(r"cov: (\d+)", text)
        found = done.returncode != 0
        failed += found
        figures = f"{runs[-1] if runs else '?':>10} inputs, {covered[-1] if covered else '?':>5} edges"
        print(f"{name:16} {figures}  {'FOUND: ' + _last(text) if found else 'nothing found'}", flush=True)
    return failed


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if "Error" in line or "Exception" in line]
    return lines[-1] if lines else text[-200:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="?", choices=list(TARGETS))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seconds", type=int, default=60)
    asked = parser.parse_args()
    if asked.all:
        sys.exit(run_all(asked.seconds) != 0)
    if asked.target is None:
        parser.error("expected a target or --all")
    run(asked.target, asked.seconds)


if __name__ == "__main__":
    main()
