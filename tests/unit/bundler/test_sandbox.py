"""Payload code runs without network: wheels from sdists, and services in a root of their own."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from artifacts import make_tar
from payload import PYTHON
from values import service

from bundler.errors import IntegrityError, ResolveError
from bundler.model.service import Probe, Service
from bundler.sandbox.boot import boot
from bundler.sandbox.namespace import run_in_root
from bundler.sandbox.wheel import build_wheel

APP = """
import http.server, os, socket, sys, threading
MODE = os.environ["MODE"]
if MODE == "exit":
    sys.exit("out of order")
if MODE == "sleep":
    threading.Event().wait()

def outside():
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=3)
    except OSError as error:
        return str(error)
    return "reached"

def inside():
    seen = {"etc": os.path.exists("/etc/hostname"), "names": sorted(name for _, name in socket.if_nameindex())}
    seen |= {"environment": sorted(os.environ), "state": os.listdir(os.environ["STATE_DIRECTORY"])}
    seen["pid"] = os.getpid() < 50
    return repr(seen)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 503 if MODE == "ill" else 200
        body = {"/out": outside, "/in": inside}.get(self.path, lambda: "ready")().encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = b'{"said": ' + self.rfile.read(int(self.headers["Content-Length"])) + b"}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        print("asked", self.path, flush=True)

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def root(payload_root: Path) -> Path:
    (payload_root / "srv/app").mkdir(parents=True)
    (payload_root / "srv/app/app.py").write_text(APP)
    return payload_root


def app(mode: str = "well", port: int = 8080, **changes: Any) -> Service:
    environment = (("MODE", mode), ("PORT", str(port)))
    return service(**{"environment": environment, "port": port, "start_timeout_s": 20, **changes})


def probe(path: str, expect: str, method: str = "GET", body: str = "") -> Probe:
    return Probe(method=method, path=path, body=body, expect=expect)


def refusal(root: Path, *services: Service) -> ResolveError:
    with pytest.raises(ResolveError) as refused:
        boot(root, services, PYTHON)
    return refused.value


DOWN = "services: app: the service did not come up without network: "
HINT = "what was locked does not work together, or it needs the network: change the recipe, lock again"


def test_services_come_up_and_answer(root: Path) -> None:
    echo = probe("/echo", '"said":"hello"', "POST", '"hello"')
    found = boot(root, [app(), app(name="second", port=8081, after=("app",), probe=echo)], PYTHON)
    assert list(found.ready_s) == ["app", "second"]
    assert all(0 <= float(seconds) < 20 for seconds in found.ready_s.values())
    assert found.attempts == ()


def test_the_network_is_not_there(root: Path) -> None:
    found = boot(root, [app(probe=probe("/out", "[Errno 101] Network is unreachable"))], PYTHON)
    assert [one.destination for one in found.attempts or ()] == ["192.0.2.1:80"]


def test_nothing_of_this_host_is_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    names = ["LANG", "LC_CTYPE", "MODE", "PATH", "PORT", "PYTHONPYCACHEPREFIX", "STATE_DIRECTORY", "TMPDIR"]
    seen = {"etc": False, "names": ["lo"], "environment": names, "state": ["log"], "pid": True}
    says = str(refusal(root, app(probe=probe("/in", "nothing that it says"))))
    got = eval(says.partition("got 200 ")[2].splitlines()[0])
    got["environment"] = [name for name in got["environment"] if name != "LC_CTYPE"]
    assert got == seen | {"environment": [name for name in names if name != "LC_CTYPE"]}


def test_a_service_that_ends_at_once(root: Path) -> None:
    refused = refusal(root, app("exit"))
    assert str(refused) == f"{DOWN}ended with status 1\nout of order\n"
    assert refused.hint == HINT


def test_a_service_that_never_listens(root: Path) -> None:
    says = str(refusal(root, app("sleep", start_timeout_s=1)))
    assert says == f"{DOWN}not ready after 1 s: 0 <urlopen error [Errno 111] Connection refused>\n"


def test_a_service_that_is_never_ready(root: Path) -> None:
    says = str(refusal(root, app("ill", start_timeout_s=5)))
    assert says.startswith(f"{DOWN}not ready after 5 s: 503 ready\nasked /ready\n")


def test_a_service_that_fails_its_probe(root: Path) -> None:
    says = str(refusal(root, app(probe=probe("/work", "done"))))
    assert says == f"{DOWN}the probe expected 'done', got 200 ready\nasked /ready\nasked /work\n"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"run": ("no-such-program",)}, "[Errno 2] No such file or directory: 'no-such-program'"),
        ({"directory": "srv/other"}, "[Errno 2] No such file or directory: '/srv/other'"),
    ],
)
def test_a_service_that_cannot_be_started(changes: dict[str, Any], why: str, root: Path) -> None:
    assert str(refusal(root, app(**changes))) == f"{DOWN}cannot be started: {why}\n"


def test_the_first_that_fails_is_named(root: Path) -> None:
    says = str(refusal(root, app(), app("exit", name="second", port=8081)))
    assert says.startswith("services: second: the service did not come up without network: ended with status 1\n")


# A backend in the sdist itself (PEP 517, backend-path): nothing else has to be installed.
PYPROJECT = b'[build-system]\nrequires = []\nbuild-backend = "own:backend"\nbackend-path = ["."]\n'
BACKEND = """
import os, socket, sys, zipfile
class backend:
    @staticmethod
    def build_wheel(directory, *_):
        print("noise on standard output")
        {work}
        with zipfile.ZipFile(os.path.join(directory, "{name}"), "w") as archive:
            archive.writestr(zipfile.ZipInfo("one.py"), os.environ["SOURCE_DATE_EPOCH"] + os.environ["CC"])
        return "{name}"
"""


def sdist(work: str = "", name: str = "one-1.0-py3-none-any.whl", top: str = "one-1.0") -> bytes:
    backend = BACKEND.format(work=work, name=name).encode()
    return make_tar((f"{top}/pyproject.toml", PYPROJECT), (f"{top}/own.py", backend))


@pytest.fixture
def build(root: Path, tmp_path: Path) -> Callable[..., Path]:
    """Build a wheel of an sdist given as a tar."""

    def make(tar: bytes, name: str = "one-1.0.tar.gz") -> Path:
        path = tmp_path / "blob"
        path.write_bytes(tar if name.endswith(".zip") else gzip.compress(tar))
        return build_wheel(path, name, root=root, python=PYTHON)

    return make


def test_a_wheel_is_built_from_an_sdist(build: Callable[..., Path]) -> None:
    wheel = build(sdist())
    assert wheel.name == "one-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("one.py") == b"1577836800/bin/false"


def test_a_wheel_is_built_from_a_zip(build: Callable[..., Path]) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(sdist())) as tar, zipfile.ZipFile(out, "w") as archive:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            archive.writestr(member.name, content.read())
    assert build(out.getvalue(), "one-1.0.zip").name == "one-1.0-py3-none-any.whl"


def test_a_build_has_no_network(build: Callable[..., Path]) -> None:
    with pytest.raises(ResolveError) as refused:
        build(sdist('socket.create_connection(("192.0.2.1", 80), timeout=3)'))
    assert str(refused.value).startswith("one-1.0.tar.gz: no wheel can be built: `unshare --net ")
    assert str(refused.value).endswith("OSError: [Errno 101] Network is unreachable")


def test_a_wheel_for_one_platform_is_refused(build: Callable[..., Path]) -> None:
    with pytest.raises(ResolveError) as refused:
        build(sdist(name="one-1.0-cp311-cp311-linux_x86_64.whl"))
    says = 'expected a wheel for any platform, got "one-1.0-cp311-cp311-linux_x86_64.whl"'
    assert str(refused.value) == f"one-1.0.tar.gz: {says}"
    assert refused.value.hint == "name a release that publishes wheels"


def test_an_sdist_is_one_directory(build: Callable[..., Path]) -> None:
    with pytest.raises(ResolveError) as refused:
        build(make_tar(("a/x", b""), ("b/x", b"")))
    assert str(refused.value) == "one-1.0.tar.gz: expected one directory in the sdist, got 2"


@pytest.mark.parametrize("name", ["one-1.0.tar.gz", "one-1.0.zip"])
def test_an_sdist_that_leads_out_is_refused(name: str, build: Callable[..., Path]) -> None:
    raw = make_tar(("../outside", b"x"))
    if name.endswith(".zip"):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("../outside", "x")
        raw = out.getvalue()
    with pytest.raises(IntegrityError) as refused:
        build(raw, name)
    assert str(refused.value) == '"../outside": the member leads out of the tree'


def test_an_sdist_that_is_no_zip_is_refused(build: Callable[..., Path]) -> None:
    with pytest.raises(IntegrityError) as refused:
        build(b"no zip", "one-1.0.zip")
    assert str(refused.value) == "one-1.0.zip: expected a zip: File is not a zip file"


def test_a_build_sees_nothing_of_this_host(build: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    with pytest.raises(ResolveError) as refused:
        build(sdist(f"print(os.listdir('/'), os.listdir('/.ferry'), file=sys.stderr); open('{tmp_path}/secret')"))
    assert f"No such file or directory: '{tmp_path}/secret'" in str(refused.value)
    assert "'home'" not in str(refused.value)
    assert "'old'" not in str(refused.value), "the host's root is unmounted"


def test_a_build_cannot_make_devices(build: Callable[..., Path]) -> None:
    with pytest.raises(ResolveError) as refused:
        build(sdist("os.mknod('/dev/disk', 0o60600, os.makedev(8, 0))"))
    assert "PermissionError: [Errno 1] Operation not permitted" in str(refused.value)


def test_a_script_reads_and_answers_json(root: Path) -> None:
    (root / "source").mkdir()
    (root / "source/pyproject.toml").write_bytes(PYPROJECT)
    (root / "source/own.py").write_text(BACKEND.format(work="", name="a.whl"))
    spec = {"source": "/source", "out": "/source"}
    answer = run_in_root(root, f"/usr/bin/python{PYTHON}", "inside_wheel.py", spec, timeout_s=30)
    assert json.dumps(answer) == '{"wheel": "a.whl"}'


READER = """
import os, sys
path = os.environ["SHOWN"]
data = open(path, "rb").read()
for mode in ("r+b", "ab"):
    try:
        open(path, mode).write(b"spoiled")
    except OSError as error:
        print(error.strerror, file=sys.stderr)
    else:
        sys.exit("it was written to")
sys.exit(data.decode())
"""


def test_files_beside_the_image_can_be_read_and_never_written(root: Path, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_text("the weights of a model")
    (root / "srv/app/reader.py").write_text(READER)
    reader = app(run=("python", "reader.py"), environment=(("SHOWN", "/srv/models/m/model.bin"),))
    with pytest.raises(ResolveError) as caught:
        boot(root, [reader], PYTHON, shown=[(blob, "srv/models/m/model.bin")])
    assert "the weights of a model" in caught.value.message
    assert caught.value.message.count("Read-only file system") == 2
    assert blob.read_text() == "the weights of a model"
