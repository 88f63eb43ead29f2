"""What a host says it holds: re-read, signed with its own key, pinned or not by who builds a differential."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from bundles import STRANGER
from differentials import Release, noise
from hosts import NOW, Host

from bundler.cli import receipt as command
from bundler.cli import report
from bundler.cli.since import read_all_since
from bundler.errors import FerryError, HostError, IntegrityError, TrustError
from bundler.installer.layout import Layout
from bundler.installer.receipt import SignedReceipt, make_receipt
from bundler.model.progress import Silent
from bundler.model.receipt import RECEIPT_TYPE, Held, format_receipt, parse_receipt, prefix_of
from bundler.since import read_since
from keystore.envelope import open_envelope, parse_envelope, sign_envelope
from keystore.errors import KeystoreError
from keystore.sm2 import PublicKey

FILES = {"srv/model.bin": noise("model", 90_000), "srv/other.bin": noise("other", 9_000)}


@pytest.fixture
def release(tmp_path: Path, host: Host) -> Release:
    made = Release(tmp_path, 1, FILES)
    host.install(made.path)
    return made


def receipt_of(host: Host) -> SignedReceipt:
    return make_receipt(host.layout, now=NOW, progress=Silent())


def test_a_receipt_says_what_the_host_holds_and_who_it_is(host: Host, release: Release) -> None:
    signed = receipt_of(host)
    receipt = signed.receipt
    assert [(one.name, one.version, one.sequence, one.current) for one in receipt.releases] == [
        ("sample", "1.0", 1, True)
    ]
    assert (receipt.created, receipt.os_id, receipt.os_version) == ("2026-11-23T12:00:00Z", "debian", "12")
    assert receipt.marks == (("sample", 1),)
    assert receipt.platform == release.manifest.platform
    held = receipt.held.as_set()
    assert {prefix_of(entry.sha256) for entry in release.manifest.entries} <= held
    assert signed.damaged == ()
    key = PublicKey.from_pem(receipt.key)
    assert open_envelope(signed.envelope, [key], 1, payload_type=RECEIPT_TYPE) == format_receipt(receipt)
    assert parse_receipt(format_receipt(receipt), place="receipt") == receipt
    assert (signed.keyid, signed.fingerprint) == (key.keyid, key.fingerprint())
    place = host.layout.receipt
    private = [place / "secret", *(place / "keystore").rglob("*.json")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in private] == [0o600] * len(private)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert receipt_of(host).keyid == signed.keyid, "the key stays"


def test_a_damaged_blob_is_not_listed_and_counts_as_missing(host: Host, release: Release, tmp_path: Path) -> None:
    digest = release.digest("srv/model.bin")
    path = host.layout.store / "blobs/sha256" / digest
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    signed = receipt_of(host)
    assert signed.damaged == (digest,)
    assert prefix_of(digest) not in signed.receipt.held.as_set()
    out = tmp_path / "receipt.json"
    out.write_bytes(signed.envelope)
    since = read_since(out)
    assert not since.has(digest)
    assert since.has(release.digest("srv/other.bin"))
    # The next bundle brings it again.
    assert [action.step for action in host.install(release.path).plan.actions] == ["store"]
    assert path.read_bytes() == FILES["srv/model.bin"]
    assert receipt_of(host).damaged == ()


def test_a_host_that_ferry_never_saw_has_no_receipt(host: Host) -> None:
    before = host.listing()
    with pytest.raises(HostError) as caught:
        receipt_of(host)
    assert str(caught.value) == f"{host.layout.records}: expected a release, this host has none"
    assert host.listing() == before


def test_a_key_that_others_may_read_is_refused(host: Host, release: Release) -> None:
    receipt_of(host)
    (host.layout.receipt / "secret").chmod(0o644)
    with pytest.raises(HostError) as caught:
        receipt_of(host)
    assert caught.value.place == str(host.layout.receipt / "secret")


def test_who_builds_may_name_the_host(
    host: Host, release: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signed = receipt_of(host)
    out, pem, other = tmp_path / "receipt.json", tmp_path / "host.pem", tmp_path / "other.pem"
    out.write_bytes(signed.envelope)
    pem.write_text(signed.receipt.key)
    other.write_text(STRANGER.public.pem())
    for named in (signed.fingerprint, signed.keyid, str(pem)):
        assert read_all_since([out, release.path], [named])[0].base.sequence == 1
    assert capsys.readouterr().err == ""
    read_all_since([out], [])
    warning, note = capsys.readouterr().err.splitlines()
    assert warning == (
        f"warning: {out} is signed by a host that you did not name ({signed.fingerprint}); a wrong receipt makes a "
        "differential that lacks blobs. To name it: --receipt-key"
    )
    assert note == (
        "note: changed blobs are sent whole; give the bundle that the host has as well (--since) to send patches"
    )
    with pytest.raises(TrustError) as caught:
        read_all_since([out], [str(other)])
    assert str(caught.value) == (
        f"{out}: expected a receipt signed by {STRANGER.public.keyid}, got one by {signed.fingerprint}"
    )
    with pytest.raises(TrustError) as caught:
        read_all_since([out], ["nonsense"])
    assert caught.value.hint == "name a file in PEM, or the fingerprint that ferry host receipt shows"


def altered(signed: SignedReceipt, change: dict[str, object]) -> bytes:
    """Return a receipt that says something else, signed by a stranger."""
    document = json.loads(parse_envelope(signed.envelope).payload) | change
    payload = json.dumps(document).encode()
    return sign_envelope(RECEIPT_TYPE, payload, [STRANGER])


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "of another signer": ({}, "expected a receipt that its host signed: "),
    "without a key": ({"key": "none"}, "expected a receipt that its host signed: "),
    "of another format": ({"format": "ferry/receipt/v9"}, 'expected "ferry/receipt/v1", got "ferry/receipt/v9"'),
    "of another machine": ({"platform": "plan9/68k"}, 'expected one of "linux/amd64", "linux/arm64", got "plan9/68k"'),
    "of no time": ({"created": "yesterday"}, 'expected a time in UTC, got "yesterday"'),
    "not packed": ({"blobs": {"count": 1, "packed": "?"}}, "expected base64"),
    "packed short": ({"blobs": {"count": 2, "packed": "AAAAAAAAAAA="}}, "expected 16 bytes, got 8"),
    "packed twice": ({"blobs": {"count": 2, "packed": "AAAAAAAAAAAAAAAAAAAAAA=="}}, "expected sorted prefixes, each"),
    "with marks in words": ({"marks": {"sample": "one"}}, 'expected a whole number, got "one"'),
    "without a release": ({"releases": 7}, 'expected a list, got "7"'),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_receipt_is_refused(host: Host, signed: SignedReceipt, tmp_path: Path, name: str) -> None:
    change, says = WRONG[name]
    out = tmp_path / "receipt.json"
    out.write_bytes(altered(signed, change))
    with pytest.raises(IntegrityError) as caught:
        read_since(out)
    assert caught.value.message.startswith(says)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> SignedReceipt:
    work = tmp_path_factory.mktemp("signed")
    made = Host(work / "host")
    made.install(Release(work, 1, FILES).path)
    return receipt_of(made)


def test_an_altered_receipt_is_refused(signed: SignedReceipt, tmp_path: Path) -> None:
    out = tmp_path / "receipt.json"
    document = json.loads(signed.envelope)
    document["signatures"][0]["sig"] = document["signatures"][0]["sig"][::-1]
    out.write_text(json.dumps(document))
    with pytest.raises(IntegrityError):
        read_since(out)
    with pytest.raises(KeystoreError):
        open_envelope(out.read_bytes(), [PublicKey.from_pem(signed.receipt.key)], 1, payload_type=RECEIPT_TYPE)


def test_digests_are_held_by_their_first_bytes() -> None:
    held = Held.of(["ff" * 32, "00" * 32, "00" * 31 + "01"])
    assert held.prefixes == (b"\0" * 8, b"\xff" * 8)
    assert held.document() == {"count": 2, "packed": "AAAAAAAAAAD//////////w=="}


def run(host: Host, monkeypatch: pytest.MonkeyPatch, *words: str) -> FerryError | None:
    monkeypatch.setattr(command, "_LAYOUT", Layout(root=host.layout.root))
    try:
        command.receipt_command.main(list(words), standalone_mode=False)
    except FerryError as error:
        return error
    return None


def test_the_command_writes_a_receipt_and_tells_of_damage(
    host: Host, release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "receipt.json"
    assert run(host, monkeypatch, "--out", str(out)) is None
    size = sum(path.stat().st_size for path in (host.layout.store / "blobs/sha256").iterdir())
    fingerprint = receipt_of(host).fingerprint
    assert capsys.readouterr().out.splitlines() == [
        f"13 blobs ({size:,} bytes) are here and right",
        "  of sample 1.0 (sequence 1), which runs",
        f"signed by this host's key {fingerprint}",
        f"written to {out}",
    ]
    assert read_since(out).has(release.digest("srv/model.bin"))
    digest = release.digest("srv/model.bin")
    (host.layout.store / "blobs/sha256" / digest).write_bytes(b"short")
    error = run(host, monkeypatch, "--out", str(out), "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["blobs"], told["damaged"], told["fingerprint"]) == (12, [digest], fingerprint)
    assert str(error) == f"{host.layout.store}: 1 blobs of the store are damaged: {digest}"
    assert not read_since(out).has(digest)
    assert run(host, monkeypatch) is None
    shown = capsys.readouterr()
    assert parse_envelope(shown.out.encode(), payload_type=RECEIPT_TYPE).signatures
    assert shown.err.splitlines()[-1] == f"signed by this host's key {fingerprint}"


def test_what_lacks_is_in_the_error_for_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["ferry", "--json"])
    error = HostError("lacking")
    error.details = {"lacking": {"blobs": []}}
    assert report(error) == 8
    assert json.loads(capsys.readouterr().err)["lacking"] == {"blobs": []}
