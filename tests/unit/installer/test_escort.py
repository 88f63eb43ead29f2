"""The escort on a host in a directory: what is wanted, why it is due, what is written, and what is refused before."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hosts import NOW, Host, host_bundle, host_manifest, service, wanted
from ports import free_port

from bundler.errors import HostError, RecipeError
from bundler.installer.escort import credentials
from bundler.installer.escort.certificate import make_certificate, public_part
from bundler.installer.escort.firing import Alert, firing_alerts
from bundler.installer.escort.programs import check_interface, check_programs, sources
from bundler.installer.escort.services import all_services
from bundler.installer.escort.wish import wish_secrets
from bundler.installer.facts import PROGRAMS, Facts, gather
from bundler.installer.plan import make_plan
from bundler.installer.preflight.check import View
from bundler.installer.preflight.readings import read_host
from bundler.installer.preflight.required import check_ports
from bundler.installer.preflight.table import CHECKS
from bundler.installer.steps import escort as step
from bundler.installer.steps import keystore as keystore_step
from bundler.installer.wanted import Wanted, want
from bundler.model.document import Fields
from bundler.model.escort import NO_ESCORT, Escort, take_escort
from bundler.model.manifest import Manifest
from bundler.model.service import Service
from bundler.verify import read_trust

SECTIONS: dict[str, Any] = {
    "keystore": {},
    "secrets": [{"service": "agent", "name": "cookie-key", "made": True}, {"service": "agent", "name": "model-key"}],
    "gateway": {"clients": ["app"], "routes": [{"service": "agent", "paths": ["/process"]}]},
    "firewall": {"allow": [{"setting": "agent.MODEL_BASE_URL", "why": "the model"}]},
    "monitoring": {"scrape": [{"service": "agent", "pack": "agent"}]},
}


def escort(services: tuple[Service, ...], **changes: object) -> Escort:
    fields = Fields({**SECTIONS, **changes}, place="", error=RecipeError)
    return take_escort(fields, services)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    services = (service("agent", 18090, settings=("MODEL_BASE_URL",)),)
    return host_manifest(tmp_path, services, escort=escort(services))[0]


@pytest.fixture
def ready(facts: Facts) -> Facts:
    """A host that has the programs."""
    return replace(facts, programs=frozenset(PROGRAMS), interfaces=frozenset({"lo", "eth0"}), can_seal=True)


def wished(host: Host, facts: Facts, manifest: Manifest, **changes: dict[str, str]) -> Wanted:
    return want(manifest, "0" * 64, read_trust(host.trust), facts, changes=changes, python="/python")


def test_the_escort_starts_around_the_payload(manifest: Manifest) -> None:
    names = [one.name for one in all_services(manifest)]
    assert names == ["firewall", "keystore", "agent", "gateway", "monitoring"]


def test_the_plan_says_why_each_part_is_due(host: Host, ready: Facts, manifest: Manifest) -> None:
    reasons = {action.step: action.reason for action in make_plan(wanted(host, ready, manifest), ready).actions}
    steps = ["release", "settings", "escort", "units", "switch", "keystore", "services", "health"]
    assert list(reasons)[4:] == steps
    assert reasons["escort"] == (
        "firewall/ferry.nft: is not there; gateway/haproxy.cfg: is not there; "
        "monitoring/agent.rules.yml: is not there; monitoring/gateway.rules.yml: is not there; "
        "monitoring/monitoring.rules.yml: is not there; "
        "monitoring/prometheus.yml: is not there; monitoring/targets.rules.yml: is not there"
    )
    assert reasons["keystore"] == (
        "keystore: is not installed; agent/cookie-key: is not there (made here, sealed); "
        "gateway/tls.pem: is not there (certificate of localhost 127.0.0.1, sealed); "
        "gateway/tokens.map: is not there (tokens of app, sealed); keystore/unseal: is not there (one share, sealed)"
    )


def test_a_second_plan_finds_files_and_credentials_as_they_should_be(
    host: Host, ready: Facts, manifest: Manifest
) -> None:
    first = wished(host, ready, manifest)
    after = replace(ready, rendered=first.files, secrets=first.secrets)
    again = wished(host, after, manifest)
    assert step.due(again, after) is None
    assert (again.files, again.secrets, again.units) == (first.files, first.secrets, first.units)


def test_a_secret_that_the_operator_gave_reaches_its_service_and_no_other(
    host: Host, ready: Facts, manifest: Manifest
) -> None:
    line = "LoadCredentialEncrypted=model-key:/var/lib/ferry/secrets/agent/model-key\n"
    assert line not in wished(host, ready, manifest).units["agent"]
    given = replace(ready, secrets={"agent": {"model-key": "given by the operator, sealed"}})
    units = wished(host, given, manifest).units
    assert [name for name, text in units.items() if line in text] == ["agent"]
    # A file of the operator's own wins, as it did before there was a keystore.
    own = replace(given, credentials={"agent": ("model-key",)})
    text = wished(host, own, manifest).units["agent"]
    assert line not in text
    assert "LoadCredential=model-key:/etc/ferry/credentials/agent/model-key\n" in text


def test_a_host_whose_systemd_seals_nothing_hands_plain_files_over(
    host: Host, ready: Facts, manifest: Manifest
) -> None:
    old = replace(ready, can_seal=False)
    found = wished(host, old, manifest)
    assert found.secrets["keystore"] == {"unseal": "one share"}
    assert "LoadCredential=unseal:/var/lib/ferry/secrets/keystore/unseal\n" in found.units["keystore"]
    # One that has learned it since has its credentials written anew.
    assert wish_secrets(manifest, found.secrets, {}, sealed=True)["keystore"] == {"unseal": "one share, sealed"}


def test_what_opens_a_store_outlives_a_release_without_a_keystore(manifest: Manifest) -> None:
    has = {"keystore": {"unseal": "one share, sealed"}, "gateway": {"tokens.map": "tokens of app, sealed"}}
    assert wish_secrets(replace(manifest, escort=NO_ESCORT), has, {}, sealed=True) == {"keystore": has["keystore"]}


def test_units_have_no_rights_but_those_that_they_need(host: Host, ready: Facts, manifest: Manifest) -> None:
    units = wished(host, ready, manifest).units
    for name in ("keystore", "gateway", "monitoring"):
        assert f"User=ferry-{name}\nDynamicUser=yes\n" in units[name]
        assert "\nCapabilityBoundingSet=\n" in units[name]
        assert "IPAddressDeny=any\nIPAddressAllow=localhost\n" in units[name]
    assert "CapabilityBoundingSet=CAP_NET_ADMIN\n" in units["firewall"]
    others = "ferry-keystore.service ferry-agent.service ferry-gateway.service ferry-monitoring.service"
    assert f"Before={others}\n" in units["firewall"]


@pytest.mark.parametrize(
    ("listen", "bound"),
    [
        ("", "bind 127.0.0.1:8443 ssl"),
        ("10.1.2.3", "bind 10.1.2.3:8443 ssl"),
        ("fd00::5", "bind [fd00::5]:8443 ssl"),
        ("eth0", "bind 0.0.0.0:8443 interface eth0 ssl"),
    ],
)
def test_the_operator_says_where_the_gateway_listens(
    host: Host, ready: Facts, manifest: Manifest, listen: str, bound: str
) -> None:
    found = wished(host, ready, manifest, gateway={"LISTEN": listen})
    check_interface(found, ready)
    assert f"    {bound} crt" in found.files["gateway"]["haproxy.cfg"]
    assert ("IPAddressDeny=any" in found.units["gateway"]) == (not listen)
    names = f"certificate of localhost 127.0.0.1{f' {listen}' if '.' in listen or ':' in listen else ''}, sealed"
    assert found.secrets["gateway"]["tls.pem"] == names


def test_a_place_that_is_none_is_refused(host: Host, ready: Facts, manifest: Manifest) -> None:
    with pytest.raises(HostError) as caught:
        wished(host, ready, manifest, gateway={"LISTEN": "a.bank.example/x"})
    assert str(caught.value) == (
        'gateway.env: LISTEN: expected an address or the name of an interface, got "a.bank.example/x"'
    )
    with pytest.raises(HostError) as caught:
        check_interface(wished(host, ready, manifest, gateway={"LISTEN": "eth7"}), ready)
    assert str(caught.value) == 'gateway.env: LISTEN: expected an interface of this host (eth0, lo), got "eth7"'


def test_a_program_that_is_nowhere_is_told_before_anything_is_changed(host: Host, tmp_path: Path) -> None:
    services = (service("agent", 18090),)
    asked = escort(services, firewall={}, monitoring={})
    before = host.listing()
    host.systemd.calls.clear()
    with pytest.raises(HostError) as caught:
        host.install(host_bundle(tmp_path, services, escort=asked))
    assert str(caught.value) == "firewall: expected /usr/sbin/nft from the bundle or on this host, it is in neither"
    assert caught.value.hint == (
        "add nftables to the debs or rpms of the recipe, for this host's suite, or install it here"
    )
    assert host.systemd.calls == []
    left = {path for path in host.listing() if path not in before}
    assert {path for path in left if not path.startswith("var/lib/ferry")} == set()


def test_programs_come_from_the_bundle_or_from_the_host(ready: Facts, manifest: Manifest) -> None:
    has = replace(ready, programs=frozenset({"/usr/sbin/nft", "/usr/bin/prometheus"}))
    deb = replace(
        manifest.items[0],
        kind="deb",
        name="haproxy_2.6.12-1_amd64.deb",
        source=(("suite", "bookworm"),),
    )
    brings = replace(manifest, items=(*manifest.items, deb))
    on_debian = replace(has, packages={}, os_codename="bookworm")
    check_programs(brings, on_debian)
    assert sources(brings, on_debian) == {
        "/usr/sbin/nft": "host",
        "/usr/sbin/haproxy": "bundle",
        "/usr/bin/prometheus": "host",
    }
    with pytest.raises(HostError, match=r"^gateway: expected /usr/sbin/haproxy from the bundle or on this host"):
        check_programs(manifest, on_debian)


def test_a_foreign_listener_on_the_gateways_port_is_told(host: Host, ready: Facts, manifest: Manifest) -> None:
    taken = replace(ready, ports={8443: "nginx.service"})
    with pytest.raises(HostError) as caught:
        check_ports(make_plan(wished(host, taken, manifest), taken), taken)
    assert str(caught.value) == "services: gateway: expected port 8443 to be free, nginx.service listens on it"


@pytest.mark.skipif(
    os.geteuid() != 0 or None in map(shutil.which, ("nft", "haproxy", "promtool")),
    reason="needs root, nft, haproxy and promtool",
)
def test_configuration_is_proved_written_and_put_back(host: Host, ready: Facts, manifest: Manifest) -> None:
    found = wished(host, ready, manifest)
    job: Any = _Job(wanted=found, facts=ready, layout=host.layout)
    before = host.listing()
    step.apply(job)
    after = gather(host.layout, host.systemd).rendered
    assert after == found.files
    spoiled = {**found.files, "gateway": {"haproxy.cfg": "global\n    nonsense\n"}}
    with pytest.raises(HostError, match=r"^gateway: the configuration is not taken: "):
        step.apply(_Job(wanted=replace(found, files=spoiled), facts=ready, layout=host.layout))
    assert gather(host.layout, host.systemd).rendered == found.files, "what is refused takes no place"
    step.undo(job)
    assert host.listing() == {**before, "var/lib/ferry": "directory"}


class _Job:
    """What the step uses of a job."""

    def __init__(self, **values: object) -> None:
        self.now = datetime.now(UTC)
        self.__dict__.update(values)


def test_credentials_are_for_root_alone(host: Host) -> None:
    credentials.put(host.layout, "agent", "cookie-key", "s3cret")
    path = host.root / "var/lib/ferry/secrets/agent/cookie-key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.stat().st_mode & 0o777 for one in list(path.parents)[:2]] == [0o700, 0o700]
    assert credentials.get(host.layout, "agent", "cookie-key") == "s3cret"
    with pytest.raises(HostError) as caught:
        credentials.get(host.layout, "keystore", "unseal")
    place = host.root / "var/lib/ferry/secrets/keystore/unseal"
    assert str(caught.value) == f"{place}: expected a credential, it is not there"


def test_a_damaged_list_of_credentials_counts_as_none(host: Host) -> None:
    credentials.write_index(host.layout, {"agent": {"a": "made here"}})
    assert credentials.read_index(host.layout) == {"agent": {"a": "made here"}}
    for text in ("{", "[]", '{"agent": 1}'):
        (host.root / "var/lib/ferry/secrets/index.json").write_text(text)
        assert credentials.read_index(host.layout) == {}
    credentials.write_index(host.layout, {})
    assert not (host.root / "var/lib/ferry/secrets/index.json").exists()


def test_a_certificate_without_its_key_is_refused() -> None:
    pem = make_certificate(["localhost", "127.0.0.1"], datetime.now(UTC))
    assert public_part(pem) == pem[: pem.index("-----BEGIN PRIVATE")]
    for text in ("", "x", public_part(pem), pem[pem.index("-----BEGIN PRIVATE") :]):
        with pytest.raises(HostError) as caught:
            public_part(text)
        assert str(caught.value) == (
            "gateway/tls.pem: expected a certificate and its private key in PEM, got something else"
        )


def test_preflight_says_where_the_programs_come_from(host: Host, ready: Facts, manifest: Manifest) -> None:
    assert verdict(host, ready, manifest) == (
        "passed",
        "/usr/sbin/nft this host's, /usr/sbin/haproxy this host's, /usr/bin/prometheus this host's",
        "/usr/sbin/nft 本机已有，/usr/sbin/haproxy 本机已有，/usr/bin/prometheus 本机已有",
    )
    assert verdict(host, replace(ready, programs=frozenset({"/usr/sbin/nft"})), manifest) == (
        "failed",
        "expected /usr/sbin/haproxy, /usr/bin/prometheus from the bundle or on this host",
        "数据包或本机应提供 /usr/sbin/haproxy, /usr/bin/prometheus",
    )
    assert verdict(host, ready, replace(manifest, escort=NO_ESCORT))[:2] == ("passed", "the bundle asks for none")


def verdict(host: Host, facts: Facts, manifest: Manifest) -> tuple[str, str, str]:
    check = next(one for one in CHECKS if one.name == "escort")
    plan = make_plan(wished(host, facts, manifest), facts)
    view = View(readings=read_host(host.layout, host.systemd), facts=facts, now=NOW, plan=plan)
    found = check.look(view)
    return str(found.state), found.told.english, found.told.chinese


class _Prometheus(BaseHTTPRequestHandler):
    """Answers as Prometheus 2.42 does."""

    text = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


@pytest.fixture
def prometheus() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Prometheus)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def raised(name: str, severity: str, state: str) -> dict[str, object]:
    annotations = {"summary": f"{name} happened", "summary_zh": "发生"}
    labels = {"alertname": name, "severity": severity}
    return {"labels": labels, "annotations": annotations, "state": state, "value": "0e+00"}


def test_the_worst_alerts_that_fire_are_told_first(prometheus: ThreadingHTTPServer) -> None:
    port = prometheus.server_address[1]
    found = [
        raised("Slow", "warning", "firing"),
        raised("Down", "critical", "firing"),
        raised("Soon", "info", "pending"),
    ]
    _Prometheus.text = json.dumps({"status": "success", "data": {"alerts": found}}).encode()
    assert firing_alerts(port) == (
        Alert(name="Down", severity="critical", summary="Down happened", summary_zh="发生"),
        Alert(name="Slow", severity="warning", summary="Slow happened", summary_zh="发生"),
    )
    for text in (b"", b"{", b"[]", b'{"data": {}}', b'{"data": {"alerts": [1]}}', b'{"data": {"alerts": null}}'):
        _Prometheus.text = text
        assert firing_alerts(port) == ()


def test_a_monitoring_that_does_not_answer_tells_of_no_alert() -> None:
    assert firing_alerts(free_port()) == ()


def test_an_undo_takes_credentials_back_and_never_the_share_of_a_store_that_stays(
    host: Host, ready: Facts, manifest: Manifest
) -> None:
    put = credentials.put
    put(host.layout, "gateway", "tokens.map", "new")
    (host.layout.secrets / "gateway/tokens.map.before").write_text("old")
    put(host.layout, "agent", "cookie-key", "new")
    put(host.layout, "keystore", "unseal", "share")
    before = replace(ready, secrets={"gateway": {"tokens.map": "tokens of app"}}, data=frozenset({"keystore"}))
    job: Any = _Job(wanted=wished(host, before, manifest), facts=before, layout=host.layout, systemd=host.systemd)
    keystore_step.undo(job)
    left = {str(path.relative_to(host.layout.secrets)): path.read_text() for path in host.layout.secrets.glob("*/*")}
    assert left == {"gateway/tokens.map": "old", "keystore/unseal": "share"}
    assert credentials.read_index(host.layout) == before.secrets

    fresh = replace(ready, secrets={}, data=frozenset())
    job.facts = fresh
    keystore_step.undo(job)
    assert not host.layout.secrets.exists()
