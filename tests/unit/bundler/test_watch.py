"""A boot tells where services try to connect: by address or name, TCP or UDP, themselves or a child of theirs."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from payload import PYTHON
from values import service

from bundler.errors import ResolveError
from bundler.model.egress import Attempt
from bundler.model.service import Probe, Service
from bundler.sandbox.boot import Booted, boot

CHECKOUT = Path(__file__).resolve().parents[3]
APP = """
import ctypes, http.server, os, socket, struct, subprocess, sys, threading

def tried(call, *words):
    try:
        call(*words)
    except OSError as error:
        return str(error)
    return "reached"

def udp(call):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        return tried(call, one)

def many(one):
    # struct mmsghdr with one address, as sendmmsg(2) has it.
    address = ctypes.create_string_buffer(struct.pack("=HH4s8x", 2, socket.htons(9), socket.inet_aton("192.0.2.9")))
    message = ctypes.create_string_buffer(struct.pack("QI44xI4x", ctypes.addressof(address), 16, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sendmmsg(one.fileno(), message, 1, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def nowhere(one):
    # Memory that is not there, in every call.
    libc = ctypes.CDLL(None, use_errno=True)
    for bad in (8, 2**64 - 4096):
        where = ctypes.c_void_p(bad)
        libc.connect(one.fileno(), where, 16)
        libc.sendto(one.fileno(), b"x", 1, 0, where, 16)
        libc.sendmsg(one.fileno(), where, 0)
        libc.sendmmsg(one.fileno(), where, 2**31, 0)
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

CHILD = "import socket, sys; socket.create_connection((sys.argv[1], 443), timeout=3)"

def child():
    done = subprocess.run([sys.executable, "-c", CHILD, "child.example.com"], capture_output=True, text=True)
    return done.stderr.splitlines()[-1]

def own():
    names = [socket.gethostbyname("localhost"), socket.gethostbyname(socket.gethostname()), socket.getfqdn("127.0.0.1")]
    names.append(tried(socket.create_connection, ("127.0.0.1", 6379)))
    names.append(tried(socket.create_connection, ("::1", 6379)))
    with socket.socket(socket.AF_UNIX) as one:
        names.append(tried(one.connect, "/nonexistent"))
    return repr(names)

WAYS = {
    "tcp": lambda: tried(socket.create_connection, ("192.0.2.1", 443), 3),
    "six": lambda: tried(socket.create_connection, ("2001:db8::1", 443), 3),
    "mapped": lambda: tried(socket.create_connection, ("::ffff:192.0.2.6", 443), 3),
    "name": lambda: tried(socket.create_connection, ("API.example.com", 8443), 3),
    "lookup": lambda: tried(socket.getaddrinfo, "only.example.com", None),
    "reverse": lambda: repr(socket.getnameinfo(("192.0.2.7", 80), 0)),
    "udp": lambda: udp(lambda one: one.sendto(b"time?", ("192.0.2.123", 123))),
    "joined": lambda: udp(lambda one: one.connect(("192.0.2.4", 4317))),
    "message": lambda: udp(lambda one: one.sendmsg([b"trace"], [], 0, ("192.0.2.8", 8125))),
    "many": lambda: udp(many),
    "child": child,
    "thread": lambda: threaded(WAYS["tcp"]),
    "own": own,
    "nowhere": lambda: udp(nowhere),
}

def threaded(work):
    box = []
    thread = threading.Thread(target=lambda: box.append(work()))
    thread.start(); thread.join()
    return box[0]

for way in sys.argv[1:]:
    print(way, WAYS[way](), flush=True)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = WAYS.get(self.path[1:], lambda: "ready")().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

if os.environ.get("MODE") == "end":
    sys.exit("no way out")
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
CHILD = "import socket, sys; socket.create_connection((sys.argv[1], 443), timeout=3)"
OFFLINE = "[Errno 101] Network is unreachable"


@pytest.fixture
def root(payload_root: Path) -> Path:
    (payload_root / "srv/app").mkdir(parents=True)
    (payload_root / "srv/app/app.py").write_text(APP)
    return payload_root


def app(*ways: str, probe: Probe | None = None, name: str = "app", port: int = 8080, mode: str = "") -> Service:
    environment = (("MODE", mode), ("PORT", str(port)))
    run = ("python", "-m", "app", *ways)
    return service(name=name, run=run, environment=environment, port=port, start_timeout_s=60, probe=probe)


def asked(way: str, expect: str) -> Probe:
    return Probe(method="GET", path=f"/{way}", body="", expect=expect)


def attempt(protocol: str, destination: str, process: str = "python3 -m app") -> Attempt:
    return Attempt(service="app", process=process, protocol=protocol, destination=destination)


@pytest.mark.parametrize(
    ("way", "says", "expected"),
    [
        ("tcp", OFFLINE, attempt("tcp", "192.0.2.1:443")),
        ("six", OFFLINE, attempt("tcp", "[2001:db8::1]:443")),
        ("mapped", OFFLINE, attempt("tcp", "192.0.2.6:443")),
        ("name", OFFLINE, attempt("tcp", "api.example.com:8443")),
        ("lookup", "reached", attempt("dns", "only.example.com")),
        ("reverse", "('192.0.2.7', '80')", attempt("dns", "7.2.0.192.in-addr.arpa")),
        ("udp", OFFLINE, attempt("udp", "192.0.2.123:123")),
        ("joined", OFFLINE, attempt("udp", "192.0.2.4:4317")),
        ("message", OFFLINE, attempt("udp", "192.0.2.8:8125")),
        ("many", OFFLINE, attempt("udp", "192.0.2.9:9")),
        ("child", OFFLINE, attempt("tcp", "child.example.com:443", f"python3 -c {CHILD} child.example.com")),
        ("thread", OFFLINE, attempt("tcp", "192.0.2.1:443")),
    ],
)
def test_a_try_during_the_probe_is_told_and_goes_on_as_without_network(
    way: str, says: str, expected: Attempt, root: Path
) -> None:
    assert boot(root, [app(probe=asked(way, says))], PYTHON).attempts == (expected,)


def test_what_stays_on_this_host_is_no_egress(root: Path) -> None:
    refused = "[Errno 111] Connection refused"
    seen = ["127.0.0.1", "127.0.0.1", "localhost", refused, refused, "[Errno 2] No such file or directory"]
    assert boot(root, [app("own", probe=asked("own", repr(seen)))], PYTHON).attempts == ()


def test_calls_that_name_no_memory_change_nothing(root: Path) -> None:
    found = boot(root, [app("nowhere", "tcp", probe=asked("nowhere", "[Errno 14] Bad address"))], PYTHON)
    assert [one.destination for one in found.attempts or ()] == ["192.0.2.1:443"]


def test_each_service_answers_for_its_own_tries_once(root: Path) -> None:
    services = [app("tcp", "tcp"), app("tcp", "udp", name="second", port=8081)]
    found = Booted.from_facts(boot(root, services, PYTHON).facts())
    assert [(one.service, one.process, one.destination) for one in found.attempts or ()] == [
        ("app", "python3 -m app tcp tcp", "192.0.2.1:443"),
        ("second", "python3 -m app tcp udp", "192.0.2.1:443"),
        ("second", "python3 -m app tcp udp", "192.0.2.123:123"),
    ]


def test_a_service_that_does_not_come_up_says_what_it_tried(root: Path) -> None:
    with pytest.raises(ResolveError) as refused:
        boot(root, [app("tcp", "lookup", mode="end")], PYTHON)
    assert str(refused.value) == (
        "services: app: the service did not come up without network: ended with status 1\n"
        f"tcp {OFFLINE}\nlookup reached\nno way out\n"
        "it tried to reach:\n"
        "  192.0.2.1:443 (tcp), by app: python3 -m app tcp lookup\n"
        "  only.example.com (dns), by app: python3 -m app tcp lookup\n"
    )


def test_an_ordinary_user_sees_the_same(root: Path) -> None:
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become an ordinary user")
    if subprocess.run([*user, "unshare", "--net", "--user", "--map-root-user", "true"], check=False).returncode != 0:
        pytest.skip("this host lets an ordinary user make no namespace")
    program = (
        "import json, pathlib, sys; from dataclasses import asdict; from values import service\n"
        "from bundler.sandbox.boot import boot\n"
        "run = ('python', '-m', 'app', 'name', 'udp')\n"
        "one = service(run=run, environment=(('PORT', '8080'),), start_timeout_s=60)\n"
        "found = boot(pathlib.Path(sys.argv[1]), [one], sys.argv[2])\n"
        "print(json.dumps([asdict(attempt) for attempt in found.attempts]))\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'tests/support'}"}
    # No ordinary user gets into the directories of pytest.
    with tempfile.TemporaryDirectory(prefix="ferry-user-") as theirs:
        subprocess.run(["cp", "-a", root, theirs], check=True)
        subprocess.run(["chown", "-R", "65534:65534", theirs], check=True)
        argv = [*user, sys.executable, "-B", "-c", program, f"{theirs}/root", PYTHON]
        done = subprocess.run(argv, env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [one["destination"] for one in json.loads(done.stdout)] == ["api.example.com:8443", "192.0.2.123:123"]


def test_on_an_emulated_processor_nothing_is_watched(root: Path) -> None:
    booted = boot(root, [app("tcp")], PYTHON, emulated=True)
    assert booted.attempts is None
    assert Booted.from_facts(booted.facts()) == booted


def test_a_boot_that_cannot_be_watched_is_refused(root: Path) -> None:
    """Under a filter that has a listener already, as some containers have, the kernel grants no second one.

    That filter lets every call pass.
    """
    program = (
        "import pathlib, struct, sys; sys.path.insert(0, sys.argv[3])\n"
        "import inside_watch\n"
        "from bundler.errors import HostError\n"
        "from bundler.sandbox.boot import boot\n"
        "from values import service\n"
        "inside_watch._filter = lambda: struct.pack('HBBI', 0x06, 0, 0, 0x7FFF0000)\n"
        "inside_watch._listen()\n"
        "try:\n"
        "    boot(pathlib.Path(sys.argv[1]), [service()], sys.argv[2])\n"
        "except HostError as error:\n"
        "    print(error, error.hint, sep='\\n')\n"
    )
    path = f"{CHECKOUT}:{CHECKOUT / 'tests/support'}"
    argv = [sys.executable, "-c", program, str(root), PYTHON, str(CHECKOUT / "bundler/sandbox")]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == (
        "expected to watch the connections of a boot: seccomp: Device or resource busy\n"
        "build where Linux is 5.5 or later, outside of containers with a seccomp listener of their own\n"
    )


def test_the_watch_ends_with_what_it_watches() -> None:
    program = (
        "import subprocess, sys; sys.path.insert(0, sys.argv[1])\n"
        "from inside import bring_loopback_up\n"
        "from inside_watch import Watch\n"
        "bring_loopback_up()\n"
        "watch = Watch()\n"
        "for name in 'ab':\n"
        "    watch.launch(name, lambda: subprocess.Popen(['true'])).wait()\n"
        "watch.finish(30)\n"
        "print([thread.is_alive() for thread in watch._threads])\n"
    )
    enter = ["unshare", "--net", "--user", "--map-root-user", sys.executable, "-c", program]
    argv = [*enter, str(CHECKOUT / "bundler/sandbox")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[False, False]\n"
