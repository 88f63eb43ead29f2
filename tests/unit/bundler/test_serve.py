"""What a served bundle answers, over real connections."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from bundles import SIGNER, packed, small_bundle, small_manifest
from click.testing import CliRunner
from serving import NOW, Running, held

from bundler.cli import ferry
from bundler.errors import HostError, IntegrityError
from bundler.model.descriptor import WHEEL, Descriptor
from bundler.model.manifest import Item
from bundler.serve.resource import OpenBundle
from bundler.serve.routes import make_routes
from bundler.serve.server import Listening, Server
from bundler.verify import Policy, verify

ONE = b"one" * 1000
TOKEN = "a-token-of-this-test"
JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "small.tar"
    path.write_bytes(small_bundle())
    return path


@pytest.fixture
def running(bundle: Path) -> Iterator[Running]:
    one = Running(bundle)
    yield one
    one.stop()


def test_files_come_whole(running: Running) -> None:
    status, headers, body = running.get("/files/srv/data/0")
    assert (status, body) == (200, ONE)
    assert headers["Content-Length"] == str(len(ONE))
    assert headers["ETag"] == f'"{sha256(ONE).hexdigest()}"'
    assert headers["Server"] == "ferry"


def test_the_head_of_a_file_has_no_body(running: Running) -> None:
    status, headers, body = running.get("/files/srv/data/0", method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(ONE)), b"")


@pytest.mark.parametrize(
    ("asked", "expected", "said"),
    [
        ("bytes=0-2", b"one", "bytes 0-2/3000"),
        ("bytes=2997-", b"one", "bytes 2997-2999/3000"),
        ("bytes=-3", b"one", "bytes 2997-2999/3000"),
        ("bytes=2998-9999", b"ne", "bytes 2998-2999/3000"),
    ],
)
def test_a_part_of_a_file(running: Running, asked: str, expected: bytes, said: str) -> None:
    status, headers, body = running.get("/files/srv/data/0", Range=asked)
    assert (status, body, headers["Content-Range"]) == (206, expected, said)


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=0-1,3-4", "bytes=-", "lines=1-2", "bytes=a-b"])
def test_a_range_that_is_none_gets_the_whole(running: Running, asked: str) -> None:
    assert running.get("/files/srv/data/0", Range=asked)[::2] == (200, ONE)


def test_a_range_behind_the_end_is_refused(running: Running) -> None:
    status, headers, _ = running.get("/files/srv/data/0", Range="bytes=3000-")
    assert (status, headers["Content-Range"]) == (416, "bytes */3000")


def test_a_part_is_sent_only_of_the_file_that_the_client_has(running: Running) -> None:
    assert running.get("/files/srv/data/0", Range="bytes=0-2", If_Range='"other"')[::2] == (200, ONE)
    assert running.get("/files/srv/data/0", If_None_Match=f'"{sha256(ONE).hexdigest()}"')[::2] == (304, b"")


def test_the_bundle_itself_is_there(running: Running, bundle: Path) -> None:
    assert running.get("/bundle.tar")[2] == bundle.read_bytes()
    assert running.get("/install.sh")[2] == b"#!/bin/sh\necho hello\n"


def test_the_front_page_names_what_is_there(running: Running) -> None:
    status, headers, body = running.get("/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<h1>sample 1.0 (linux/amd64)</h1>" in body
    assert b'<a href="/files/srv/data/2">' in body


@pytest.mark.parametrize("path", ["/nothing", "/files/../install.sh", "/files/srv/data", "/v2/a/manifests/1"])
def test_what_is_not_there(running: Running, path: str) -> None:
    status, _, body = running.get(path)
    assert (status, json.loads(body)) == (404, {"errors": [{"code": "NOT_FOUND", "message": "not found"}]})


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_nothing_can_be_written(running: Running, method: str) -> None:
    assert running.get("/files/srv/data/0", method=method)[0] == 501


def test_bytes_that_are_no_request(running: Running) -> None:
    with socket.create_connection(running.server.server_address[:2], timeout=20) as client:  # type: ignore[arg-type]
        client.sendall(b"GET / HTTP/9.9\r\n\r\n")
        assert b" 505 " in client.recv(1000)
    assert running.get("/install.sh")[0] == 200


def test_a_client_that_goes_away_stops_nobody(running: Running) -> None:
    with socket.create_connection(running.server.server_address[:2]) as client:  # type: ignore[arg-type]
        client.sendall(b"GET /bundle.tar HTTP/1.1\r\nHost: a\r\n\r\n")
    assert running.get("/install.sh")[0] == 200


def test_an_empty_registry_and_index(running: Running) -> None:
    assert json.loads(running.get("/v2/")[2]) == {}
    assert json.loads(running.get("/v2/_catalog")[2]) == {"repositories": []}
    assert json.loads(running.get("/simple/", **JSON)[2])["projects"] == []


def with_wheels(*names: str) -> bytes:
    manifest, contents = small_manifest([ONE])
    entry = manifest.entries[4]
    described = Descriptor(media_type=WHEEL, size=entry.size, sha256=entry.sha256, sm3=entry.sm3)
    items = [Item(kind="wheel", name=name, version="1.0", purl="pkg:pypi/a", descriptor=described) for name in names]
    return packed(replace(manifest, items=tuple(items)), contents)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "wheels.tar").write_bytes(with_wheels("Some_Name-1.0-py3-none-any.whl"))
    one = Running(tmp_path / "wheels.tar")
    yield one
    one.stop()


def test_an_index_for_people_and_old_clients(index: Running) -> None:
    assert b'<a href="some-name/">some-name</a>' in index.get("/simple/")[2]
    link = f'<a href="../files/Some_Name-1.0-py3-none-any.whl#sha256={sha256(ONE).hexdigest()}">'
    assert link.encode() in index.get("/simple/some-name/")[2]
    assert index.get("/simple/files/Some_Name-1.0-py3-none-any.whl")[2] == ONE


def test_an_index_for_programs(index: Running) -> None:
    _, headers, body = index.get("/simple/some-name/", **JSON)
    assert (headers["Content-Type"], headers["Vary"]) == (JSON["Accept"], "Accept")
    assert json.loads(body)["files"] == [
        {
            "filename": "Some_Name-1.0-py3-none-any.whl",
            "url": "../files/Some_Name-1.0-py3-none-any.whl",
            "hashes": {"sha256": sha256(ONE).hexdigest()},
            "size": 3000,
        }
    ]


def test_only_who_shows_the_token_is_answered(bundle: Path) -> None:
    one = Running(bundle, token=TOKEN)
    try:
        assert "token" not in repr(Listening(host="h", port=1, token=TOKEN))
        status, headers, _ = one.get("/install.sh")
        assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="ferry"')
        basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
        assert one.get("/install.sh", Authorization=f"Basic {basic}")[0] == 200
        assert one.get("/install.sh", Authorization=f"Bearer {TOKEN}")[0] == 200
        wrong = ("Bearer other", "Basic ???", f"Digest {TOKEN}", "Basic " + base64.b64encode(b"no colon").decode())
        for given in wrong:
            assert one.get("/install.sh", Authorization=given)[0] == 401
    finally:
        one.stop()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "host.pem", tmp_path / "host.key"
    words = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-nodes", "-newkey", "rsa:2048"]
    subprocess.run(
        ["openssl", "req", "-x509", *words, "-keyout", paths[1], "-out", paths[0]], check=True, capture_output=True
    )
    return paths


def test_the_same_over_tls(bundle: Path, certificate: tuple[Path, Path]) -> None:
    one = Running(bundle, certificate=certificate[0], key=certificate[1])
    one.trust = lambda: ssl.create_default_context(cafile=certificate[0])  # type: ignore[method-assign]
    try:
        assert one.server.url.startswith("https://")
        assert one.get("/bundle.tar")[2] == bundle.read_bytes()
        # A client that speaks no TLS is sent away and holds up nobody.
        with socket.create_connection(one.server.server_address[:2], timeout=20) as client:  # type: ignore[arg-type]
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with suppress(ConnectionResetError):
                client.recv(1000)
        assert one.get("/install.sh")[0] == 200
    finally:
        one.stop()


def test_a_bundle_that_changes_is_served_no_longer(running: Running, bundle: Path) -> None:
    with bundle.open("r+b") as stream:
        stream.seek(-2000, os.SEEK_END)
        stream.write(b"x")
    os.utime(bundle, (1, 1))
    with pytest.raises((ConnectionError, OSError)):
        running.get("/files/srv/data/0")


def test_a_bundle_that_was_replaced_before_it_was_opened_is_refused(bundle: Path) -> None:
    verified = verify(bundle, Policy(trusted=(SIGNER.public,)), now=NOW)
    bundle.write_bytes(small_bundle(version="2.0"))
    with pytest.raises(IntegrityError) as caught:
        OpenBundle(verified)
    assert caught.value.message == "the bundle changed after it was verified"


def test_images_that_the_bundle_lacks_are_refused(tmp_path: Path) -> None:
    manifest, contents = small_manifest([ONE])
    digest = f"sha256:{'a' * 64}"
    annotations = {"org.opencontainers.image.ref.name": "r.local/a:1"}
    listed = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "annotations": annotations}
    data = json.dumps({"manifests": [listed]}).encode()
    old = manifest.entries[3]
    new = replace(old, size=len(data), **spoken(data))
    manifest = replace(manifest, entries=(*manifest.entries[:3], new, *manifest.entries[4:]))
    (tmp_path / "b.tar").write_bytes(packed(manifest, contents | {"index.json": data}))
    opened = held(tmp_path / "b.tar")
    with pytest.raises(IntegrityError) as caught:
        make_routes(opened)
    assert str(caught.value) == f"{digest}: expected a blob of the bundle, it is not there"
    opened.close()


def spoken(data: bytes) -> dict[str, str]:
    from keystore.sm3 import sm3

    return {"sha256": sha256(data).hexdigest(), "sm3": sm3(data).hex()}


def test_a_port_that_is_taken(bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        opened = held(bundle)
        with pytest.raises(HostError) as caught:
            Server(opened, make_routes(opened), Listening(host="127.0.0.1", port=port))
        opened.close()
    assert str(caught.value) == f"127.0.0.1:{port}: cannot listen: Address already in use"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (
            ["--listen", "0.0.0.0:0"],
            8,
            "--listen: expected TLS for other hosts, 0.0.0.0:0 would answer them",
        ),
        (["--listen", "nowhere"], 2, '--listen: expected HOST:PORT, got "nowhere"'),
        (["--listen", "127.0.0.1:99999"], 2, "expected HOST:PORT"),
        (["--tls-cert", "x.pem"], 2, "--tls-cert and --tls-key go together"),
        (["--token-file", "short"], 8, "short: expected a token of 16 or more printable characters without spaces"),
        (["--token-file", "missing"], 8, "missing: expected a token of printable ASCII, the file cannot be read"),
    ],
)
def test_what_the_command_refuses(bundle: Path, tmp_path: Path, words: list[str], code: int, says: str) -> None:
    (tmp_path / "short").write_text("short\n")
    (tmp_path / "key.pem").write_text(SIGNER.public.pem())
    words = [str(tmp_path / word) if word in ("short", "missing") else word for word in words]
    done = CliRunner().invoke(ferry, ["serve", str(bundle), "--trust", str(tmp_path / "key.pem"), *words])
    error = done.exception
    got = getattr(error, "exit_code", done.exit_code)
    assert (got, says in (done.output + str(error))) == (code, True), done.output + str(error)
