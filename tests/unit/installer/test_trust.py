"""What a host trusts after an install: keys, certificates, the newest root document."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundles import CERTIFICATE, LEAF, NIST, NOBODY, OFFICER, RELEASE, ROOT, ROTATED, SECOND, SIGNER, STRANGER, SUB
from bundles import signed_again as signed
from hosts import Host, host_bundle, service
from ports import free_port
from trusted import revocation_list, root_document

from bundler.errors import FerryError, TrustError
from bundler.installer.install import Outcome
from bundler.installer.marks import read_marks
from keystore import audit


@pytest.fixture
def by_root(bundle: bytes) -> bytes:
    return signed(bundle, SIGNER, SECOND, roots=(ROOT,), revocations=NOBODY)


def named(host: Host, data: bytes) -> tuple[Path, ...]:
    path = host.root.parent / "anchor"
    path.write_bytes(data)
    return (path,)


def kept(host: Host) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in host.layout.trust.iterdir()}


def reason(outcome: Outcome) -> str:
    return next((action.reason for action in outcome.plan.actions if action.step == "trust"), "")


def test_a_host_keeps_the_certificate_that_it_was_given(host: Host, bundle: bytes) -> None:
    outcome = host.install(signed(bundle, SIGNER, certificates=(LEAF, SUB)), trust=named(host, CERTIFICATE))
    assert reason(outcome) == 'this host does not know the root certificate "CN=root" yet'
    assert kept(host) == {f"{OFFICER.keyid}.crt": CERTIFICATE}
    assert host.install(signed(bundle, SIGNER, certificates=(LEAF, SUB)), trust=()).plan.actions == ()


def test_a_host_follows_its_root_document(host: Host, bundle: bytes, by_root: bytes, tmp_path: Path) -> None:
    assert reason(host.install(by_root, trust=named(host, ROOT))) == (
        "this host does not know version 1 of the root document yet"
    )
    assert kept(host) == {"root.json": ROOT}
    moved = signed(bundle, SIGNER, SECOND, roots=(ROOT, ROTATED), revocations=revocation_list(2, [], [STRANGER]))
    assert reason(host.install(moved, trust=())) == "this host does not know version 2 of the root document yet"
    assert kept(host) == {"root.json": ROTATED}
    # What the first version let speak is over, even where an old file is named.
    with pytest.raises(TrustError, match="of the root role's keys, got 0"):
        host.install(by_root, trust=named(host, ROOT))
    assert host.install(moved, trust=named(host, ROOT)).plan.actions == ()


def test_a_root_document_takes_the_place_of_keys(host: Host, bundle: bytes, by_root: bytes) -> None:
    host.install(bundle)
    assert kept(host) == {f"{SIGNER.keyid}.pem": SIGNER.public.pem().encode()}
    host.install(by_root, trust=named(host, ROOT))
    assert kept(host) == {"root.json": ROOT}
    with pytest.raises(TrustError) as caught:
        host.install(bundle)
    assert str(caught.value) == "--trust: expected no key or certificate, this host trusts a root document"
    with pytest.raises(TrustError, match="of the root role's keys, got 0"):
        host.install(bundle, trust=())


def test_a_failed_install_puts_back_what_was_trusted(host: Host, bundle: bytes, tmp_path: Path) -> None:
    host.install(bundle)
    before = kept(host)
    services = (service("agent", free_port()),)
    newer = host_bundle(tmp_path / "newer", services, version="2.0", sequence=2)
    host.systemd.broken.add("ferry-agent.service")
    with pytest.raises(FerryError):
        host.install(signed(newer, SIGNER, SECOND, roots=(ROOT,), revocations=NOBODY), trust=named(host, ROOT))
    assert kept(host) == before


def test_the_operator_says_which_schemes_must_have_signed(host: Host, bundle: bytes) -> None:
    with pytest.raises(TrustError, match="expected ed25519 signatures by 1 of the release role's keys, got 0"):
        host.install(bundle, demands=("ed25519",))
    mixed = signed(bundle, SIGNER, NIST)
    host.install(mixed, demands=("sm2-sm3",))
    assert list(kept(host)) == [f"{SIGNER.keyid}.pem"]


def test_a_damaged_root_document_of_a_host_is_told(host: Host, by_root: bytes) -> None:
    host.install(by_root, trust=named(host, ROOT))
    path = host.layout.trust / "root.json"
    path.write_bytes(root_document(1, [OFFICER], RELEASE, by=[STRANGER]))
    with pytest.raises(TrustError) as caught:
        host.install(by_root, trust=())
    assert str(caught.value) == (
        f"{path}: expected a public key (PEM), an SM2 root certificate or a root document: "
        "root version 1: expected signatures by 1 of the root role's keys, got 0"
    )


def test_a_host_remembers_the_newest_list_of_revoked_keys(host: Host, bundle: bytes) -> None:
    newer = signed(bundle, SIGNER, SECOND, roots=(ROOT,), revocations=revocation_list(3, [STRANGER], [OFFICER]))
    host.install(newer, trust=named(host, ROOT))
    assert read_marks(host.layout).revocations == {"root": 3}
    older = signed(bundle, SIGNER, SECOND, roots=(ROOT,), revocations=NOBODY)
    with pytest.raises(TrustError) as caught:
        host.install(older, trust=())
    assert str(caught.value) == (
        "ferry.trust.json: revocations: expected revocations of version 3 or later, got version 1"
    )
    host.systemd.stop(["ferry-agent.service"])
    host.install(older, trust=(), accept_older_revocations=True)
    assert read_marks(host.layout).revocations == {"root": 3}, "marks never go down"
    events = [line.event for line in audit.read(host.layout.audit)]
    (override,) = [event for event in events if event["kind"] == "override"]
    assert (override["option"], override["from"], override["to"]) == (
        "--accept-older-revocations",
        "version 3",
        "version 1",
    )
