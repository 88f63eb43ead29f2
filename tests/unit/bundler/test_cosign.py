"""A signature added in place: what changes, what is refused, and a write that is cut off anywhere."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bundles import CERTIFICATE, EDWARDS, LEAF, NOBODY, ROOT, SECOND, SIGNER, STRANGER, SUB, signed_again, small_bundle

from bundler.anchors import parse_anchor
from bundler.archive import pack_head, read_head
from bundler.checks import Reading
from bundler.cosign import cosign
from bundler.errors import FerryError, HostError, IntegrityError, TrustError
from bundler.verify import Policy, verify
from bundler.volumes import split, verify_volume
from keystore.errors import SignatureError

NOW = datetime(2026, 6, 1, tzinfo=UTC)
BY_ROOT = Policy(trusted=(parse_anchor(ROOT, "here"),))
BY_KEY = Policy(trusted=(SIGNER.public,))
HALF = signed_again(small_bundle(), SIGNER, roots=(ROOT,), revocations=NOBODY)


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A bundle that one of two has signed."""
    path = tmp_path / "x.tar"
    path.write_bytes(HALF)
    return path


def test_the_second_signature_completes_a_bundle_in_place(half: Path) -> None:
    with pytest.raises(TrustError):
        verify(half, BY_ROOT, now=NOW)
    signed = cosign(half, SECOND, BY_ROOT, now=NOW)
    assert (set(signed.keyids), signed.missing) == ({SIGNER.keyid, SECOND.keyid}, "")
    assert {key.keyid for key in verify(half, BY_ROOT, now=NOW).attested.signers} == {SIGNER.keyid, SECOND.keyid}
    data, before, after = half.read_bytes(), read_head(io.BytesIO(HALF)), read_head(io.BytesIO(half.read_bytes()))
    assert (after.manifest, after.signature, after.end) == (before.manifest, before.signature, before.end)
    assert data[after.end :] == HALF[before.end :]
    assert [path.name for path in half.parent.iterdir()] == ["x.tar"]


def test_built_at_once_or_signed_later_the_bytes_are_the_same(half: Path) -> None:
    cosign(half, SECOND, BY_ROOT, now=NOW)
    assert half.read_bytes() == signed_again(small_bundle(), SIGNER, SECOND, roots=(ROOT,), revocations=NOBODY)


def test_who_trusts_the_second_key_alone_believes_the_bundle(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(small_bundle())
    cosign(path, EDWARDS, BY_KEY, now=NOW)
    verified = verify(path, Policy(trusted=(EDWARDS.public,)), now=NOW)
    assert (verified.attested.signers, verified.attested.detached) == ((EDWARDS.public,), None)


def test_what_is_still_missing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(signed_again(small_bundle(), EDWARDS, roots=(ROOT,), revocations=NOBODY))
    assert cosign(path, SIGNER, BY_ROOT, now=NOW).missing == (
        f"ferry.json.dsse: expected sm2-sm3 signatures by 2 of the release role's keys, got 1 ({SIGNER.keyid[:16]})"
    )


def test_certificates_come_with_the_signature(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(small_bundle(signer=STRANGER))
    cosign(path, SIGNER, Policy(trusted=(STRANGER.public,)), certificates=(LEAF, SUB), now=NOW)
    assert verify(path, Policy(trusted=(parse_anchor(CERTIFICATE, "here"),)), now=NOW).key == SIGNER.public


def test_a_key_signs_once(half: Path) -> None:
    cosign(half, SECOND, BY_ROOT, now=NOW)
    with pytest.raises(SignatureError) as caught:
        cosign(half, SECOND, BY_ROOT, now=NOW)
    assert str(caught.value) == (f"envelope.signatures: expected no signature by the key {SECOND.keyid}, got one")


def test_nothing_is_signed_that_nobody_trusted_signed_before(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(small_bundle(signer=STRANGER))
    with pytest.raises(TrustError, match="expected a signature by a trusted key, got signatures by"):
        cosign(path, SECOND, BY_KEY, now=NOW)
    assert path.read_bytes() == small_bundle(signer=STRANGER)


def test_no_room_for_a_signature_is_told(half: Path) -> None:
    head = read_head(io.BytesIO(HALF))
    full = replace(head, envelope=head.envelope.rstrip(b" "))
    half.write_bytes(pack_head(full.entries()) + HALF[head.end :])
    with pytest.raises(HostError, match="no room is left for a further signature"):
        cosign(half, SECOND, BY_ROOT, now=NOW)


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        cosign(tmp_path / "none.tar", SECOND, BY_ROOT, now=NOW)
    assert str(caught.value) == (
        f"{tmp_path / 'none.tar'}: the bundle cannot be signed in place: No such file or directory"
    )


@pytest.mark.parametrize("written", [0, 1, 600, 16_384, 17_500, 30_000])
def test_a_write_that_was_cut_off_verifies_never_wrongly_and_is_finished(
    half: Path, tmp_path: Path, written: int
) -> None:
    cosign(half, SECOND, BY_ROOT, now=NOW)
    whole = half.read_bytes()
    head = read_head(io.BytesIO(HALF))
    start = len(pack_head(head.entries()[:2]))
    torn = bytearray(HALF)
    torn[start : start + written] = whole[start : start + written]
    half.write_bytes(torn)
    (tmp_path / ".x.tar.signing").write_bytes(whole[start : head.end])
    # Once the envelope is there, both have signed; only whom else the list of revoked keys names is still to come.
    if written < len(head.envelope):
        with pytest.raises(FerryError):
            verify(half, BY_ROOT, now=NOW)
    else:
        assert len(verify(half, BY_ROOT, now=NOW).attested.signers) == 2
    signed = cosign(half, SECOND, BY_ROOT, now=NOW)
    assert (half.read_bytes(), signed.missing) == (whole, "")
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


def test_what_another_left_beside_a_bundle_is_not_written_into_it(half: Path, tmp_path: Path) -> None:
    beside = tmp_path / ".x.tar.signing"
    beside.write_bytes(b"something else")
    with pytest.raises(IntegrityError, match="expected what an earlier run was about to write"):
        cosign(half, SECOND, BY_ROOT, now=NOW)
    assert (half.read_bytes(), beside.exists()) == (HALF, True)


def test_volumes_are_signed_each(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(small_bundle())
    volumes = split(path, tmp_path, volume_bytes=45_000, policy=BY_KEY, now=NOW, reading=Reading())
    assert len(volumes) > 1
    for volume in volumes:
        cosign(volume, STRANGER, BY_KEY, now=NOW)
        assert verify_volume(volume, Policy(trusted=(STRANGER.public,)), now=NOW).attested.key == STRANGER.public
