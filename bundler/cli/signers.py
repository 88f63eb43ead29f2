"""How commands tell who vouched for a bundle."""

from __future__ import annotations

from typing import Any

import click

from bundler.anchors import CertificateAnchor, RootAnchor
from bundler.attest import Attested
from bundler.cli.messages import tr


def signers_document(attested: Attested) -> dict[str, Any]:
    """Return it for programs; `keyid` and `fingerprint` are those of the signer that stands for all."""
    speaker = attested.speaker
    trusted: dict[str, Any] = {"source": speaker.source, "threshold": speaker.release.threshold}
    if isinstance(speaker.anchor, RootAnchor):
        trusted["version"] = speaker.anchor.root.version
    if isinstance(speaker.anchor, CertificateAnchor):
        trusted["subject"] = speaker.anchor.certificate.claims.told
    return {
        "keyid": attested.key.keyid,
        "fingerprint": attested.key.fingerprint(),
        "signers": [
            {"keyid": key.keyid, "fingerprint": key.fingerprint(), "scheme": key.scheme} for key in attested.signers
        ],
        "trusted_by": trusted,
        "revocations": {"version": attested.revocations.version, "revoked": len(attested.revocations.revoked)},
    }


def print_signers(attested: Attested) -> None:
    """Print it for people."""
    for key in attested.signers:
        click.echo(tr("  signed by ", "  签名密钥 ") + f"{key.fingerprint()} ({key.scheme})")
    version = attested.revocations.version
    click.echo(
        tr(f"  trusted by {_told(attested)}", f"  信任依据：{_told(attested)}")
        + (tr(f"; revocations version {version}", f"；吊销列表第 {version} 版") if version else "")
    )


def _told(attested: Attested) -> str:
    speaker = attested.speaker
    if isinstance(speaker.anchor, RootAnchor):
        version, role = speaker.anchor.root.version, speaker.release
        needed, count = role.threshold, len(role.keys)
        return tr(
            f"root document version {version}: {needed} of {count} release keys must sign",
            f"根文件第 {version} 版：{count} 个发布密钥中须 {needed} 个签名",
        )
    if isinstance(speaker.anchor, CertificateAnchor):
        told = speaker.anchor.certificate.claims.told
        return tr(f'root certificate "{told}"', f"根证书“{told}”")
    return tr("its key", "其公钥")
