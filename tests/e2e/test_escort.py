"""What a host runs beside the payload, on a real one: keystore, gateway, firewall, monitoring come, hold and go."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import CHECKOUT, ferry
from listing import listing, names, packages
from machine import Machine

pytestmark = [pytest.mark.e2e, pytest.mark.network]
BUNDLE = "/mnt/stick/hello.tar"
# Debian's package of Prometheus brings fonts and scripts of 200 MB: here it counts as what the host has already.
HOST_HAS = ("/usr/bin/prometheus", "/usr/bin/promtool")
SECTIONS = """
debs:
  - {suite: bookworm, packages: [haproxy, nftables]}
keystore: {}
secrets:
  - {service: hello, name: greeting-key, made: true}
  - {service: hello, name: model-api-key}
gateway:
  clients: [app, batch]
  routes:
    - {service: hello, paths: [/], methods: [GET]}
firewall:
  covers: services
  allow:
    - {to: 192.0.2.7, port: 4318, why: the site's collector of traces}
monitoring: {keep_days: 3}
"""
ASK = """
import http.client, ssl, sys
context = ssl.create_default_context(cafile="/etc/ferry/gateway.crt")
connection = http.client.HTTPSConnection("localhost", 8443, context=context, timeout=10)
connection.request("GET", sys.argv[1], headers={"Authorization": f"Bearer {sys.argv[2]}"})
reply = connection.getresponse()
print(reply.status, reply.read().decode().strip())
"""
OWN = ("firewall", "keystore", "hello", "gateway", "monitoring")


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hello service with all of the escort, and the builder's key."""
    stick = tmp_path_factory.mktemp("stick")
    recipe = tmp_path_factory.mktemp("recipes") / "hello"
    shutil.copytree(CHECKOUT / "recipes/hello", recipe, ignore=shutil.ignore_patterns("__pycache__"))
    with (recipe / "recipe.yaml").open("a") as stream:
        stream.write(SECTIONS)
    (stick / "ask.py").write_text(ASK)
    keystore = {"FERRY_KEYSTORE": str(tmp_path_factory.mktemp("keys") / "keystore")}
    ferry("lock", recipe)
    ferry("build", recipe, "--yes", "-o", stick / "hello.tar", **keystore)
    ferry("keystore", "public", "-o", stick / "release.pem", **keystore)
    return stick


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, stick: Path) -> Iterator[Machine]:
    """An isolated bookworm with Prometheus, and the stick."""
    missing = [path for path in HOST_HAS if not Path(path).exists()]
    reason = Machine.reason_unavailable() or (f"needs {', '.join(missing)}" if missing else None)
    if reason is not None:
        pytest.skip(reason)
    made = Machine.create("bookworm", tmp_path_factory.mktemp("bookworm") / "host")
    boot(made, stick)
    yield made
    made.destroy()
    shutil.rmtree(made.root, ignore_errors=True)


def boot(machine: Machine, stick: Path) -> None:
    machine.boot(binds_ro={stick: "/mnt/stick", **{Path(path): path for path in HOST_HAS}})


def install(machine: Machine, *words: str, code: int = 0):  # type: ignore[no-untyped-def]
    machine.run(["sh", "-c", f"cd /root && tar --occurrence=1 -xf {BUNDLE} install.sh"])
    argv = ["sh", "/root/install.sh", BUNDLE, "--trust", "/mnt/stick/release.pem", "--yes", *words]
    done = machine.run(argv, check=False, timeout_s=300)
    machine.run(["rm", "/root/install.sh"])
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def ask(machine: Machine, path: str, token: str) -> str:
    """Ask the gateway from inside, with the Python that came with the bundle."""
    python = "sed -n 's/^exec \\([^ ]*\\) .*/\\1/p' /usr/local/bin/ferry"
    return machine.run(["sh", "-c", f'$({python}) /mnt/stick/ask.py "$0" "$1"', path, token]).stdout.strip()


def secret(machine: Machine, path: str) -> str:
    return machine.run(["ferry", "host", "secret", "show", path]).stdout.strip()


def unhealthy(machine: Machine) -> dict[str, str]:
    """Return the services that are not ready, each with the reason; all of the escort must be there."""
    found = json.loads(machine.run(["ferry", "host", "status", "--json"], check=False).stdout)["services"]
    assert [one["name"] for one in found] == list(OWN)
    return {one["name"]: one["why"] for one in found if one["why"]}


def tables(machine: Machine) -> str:
    return machine.run(["nft", "list", "tables"]).stdout


GREETING = '200 {"greeting": "Hello from the other side of the air gap."}'


def test_a_failed_start_takes_all_of_it_back(machine: Machine) -> None:
    files, before = listing(machine), packages(machine)
    drop_in = "/etc/systemd/system/ferry-gateway.service.d"
    machine.run(["sh", "-c", f"mkdir {drop_in} && printf '[Service]\\nExecStartPre=/bin/false\\n' > {drop_in}/x.conf"])
    done = install(machine, code=9)
    assert "step services failed; this host is as it was before" in done.stderr
    machine.run(["rm", "-r", drop_in])
    machine.run(["systemctl", "daemon-reload"])
    # A package that was replaced by a newer version stays at that.
    assert names(packages(machine)) == names(before)
    assert listing(machine) ^ files == set()
    assert machine.run(["ls", "/run"]).stdout.split().count("ferry-keystore") == 0


def test_the_escort_comes_holds_and_goes(machine: Machine, stick: Path) -> None:
    files, before = listing(machine), packages(machine)
    install(machine)
    assert unhealthy(machine) == {}
    assert json.loads(install(machine, "--json").stdout)["planned"] == 0

    token = secret(machine, "gateway/tokens/app")
    assert ask(machine, "/", token) == GREETING
    assert ask(machine, "/", "x") == '401 {"error":"expected a token"}'
    assert ask(machine, "/shutdown", token) == '403 {"error":"closed"}'
    assert ask(machine, "/health", token) == '404 {"error":"no such path"}'
    check_rights(machine, token)
    check_firewall(machine)
    check_monitoring(machine)
    check_secrets(machine, token)

    # Nobody is asked for anything after a power cut: the keystore unseals itself.
    machine.kill()
    boot(machine, stick)
    assert unhealthy(machine) == {}
    assert ask(machine, "/", secret(machine, "gateway/tokens/batch")) == GREETING

    kept = secret(machine, "hello/greeting-key")
    machine.run(["ferry", "host", "uninstall", "--yes", "--keep-data"])
    install(machine)
    assert secret(machine, "hello/greeting-key") == kept
    machine.run(["ferry", "host", "uninstall", "--yes"])
    assert names(packages(machine)) == names(before)
    assert listing(machine) ^ files == set(), "uninstall leaves nothing behind"
    assert machine.run(["ls", "/etc/systemd/system"]).stdout.count("haproxy") == 0, "no mask stays"


def check_rights(machine: Machine, token: str) -> None:
    for name in ("keystore", "gateway", "monitoring"):
        shown = machine.run(["systemctl", "show", "-p", "DynamicUser,CapabilityBoundingSet", f"ferry-{name}"]).stdout
        assert shown == "CapabilityBoundingSet=\nDynamicUser=yes\n"
    for unit in ("haproxy.service", "nftables.service"):
        assert machine.run(["systemctl", "is-enabled", unit], check=False).stdout == "masked\n"
    # Root itself finds the token in no file: it is sealed on the disk, and in memory alone in the clear.
    found = machine.run(["grep", "-rlF", token, "/etc", "/var", "/opt/ferry/current"], check=False)
    assert (found.returncode, found.stdout) == (1, "")


def check_firewall(machine: Machine) -> None:
    assert tables(machine) == "table inet ferry\n"
    rules = machine.run(["nft", "list", "table", "inet", "ferry"]).stdout
    assert 'ip daddr 192.0.2.7 tcp dport 4318 accept comment "the site\'s collector of traces"' in rules
    machine.run(["nft", "flush", "ruleset"])
    (why,) = unhealthy(machine).values()
    assert why.startswith("its rules are not loaded: ")
    again = json.loads(install(machine, "--json").stdout)
    assert [one["step"] for one in again["steps"]] == ["services", "health"]
    assert unhealthy(machine) == {}


def scraped(machine: Machine) -> set[str]:
    found = json.loads(machine.http(9090, "GET", "/api/v1/targets").body)["data"]["activeTargets"]
    return {one["labels"]["job"] for one in found}


def check_monitoring(machine: Machine) -> None:
    # Prometheus is ready some seconds before it looks for its targets.
    until = time.monotonic() + 60
    while (jobs := scraped(machine)) != {"gateway", "monitoring"}:
        assert time.monotonic() < until, jobs
        time.sleep(0.5)
    groups = json.loads(machine.http(9090, "GET", "/api/v1/rules").body)["data"]["groups"]
    assert {group["name"] for group in groups} == {"targets", "monitoring", "gateway"}
    assert json.loads(machine.run(["ferry", "host", "status", "--json"]).stdout)["alerts"] == []


def check_secrets(machine: Machine, token: str) -> None:
    machine.run(["ferry", "host", "secret", "rotate", "gateway/tokens/app"])
    assert ask(machine, "/", token) == '401 {"error":"expected a token"}'
    assert secret(machine, "gateway/tokens/app") != token
    machine.run(["ferry", "host", "secret", "set", "hello/model-api-key"], input="key of a model\n")
    place = "/run/credentials/ferry-hello.service/model-api-key"
    assert machine.run(["cat", place]).stdout == "key of a model"
    refused = machine.run(["ferry", "host", "secret", "rotate", "hello/model-api-key"], check=False)
    assert (refused.returncode, refused.stderr) == (
        8,
        "error: hello/model-api-key: expected a secret that is made here, this one comes from outside\n"
        "hint: give it: ferry host secret set hello/model-api-key FILE\n",
    )
    assert json.loads(install(machine, "--json").stdout)["planned"] == 0, "the unit is as the release writes it"
