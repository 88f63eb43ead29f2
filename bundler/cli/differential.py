"""What commands tell of a differential."""

from __future__ import annotations

from bundler.cli.messages import tr
from bundler.model.differential import Differential
from bundler.model.manifest import Manifest


def differential_rows(manifest: Manifest, left: Differential) -> list[str]:
    """Return what a differential holds, line by line."""
    carried = {entry.sha256: entry.size for entry in manifest.entries}
    patched = sum(patch.result.size for patch in left.patches)
    patch_bytes = sum(carried[digest] for digest in {patch.patch for patch in left.patches})
    absent = sum(entry.size for entry in left.absent)
    return [
        tr(f"a differential against {left.told()}", f"差分包，基于 {left.told()}"),
        tr(
            f"left out: {len(left.absent)} blobs ({absent:,} bytes) that the host must have",
            f"省略：{len(left.absent)} 个数据块（{absent:,} 字节），主机须已有",
        ),
        tr(
            f"patches: {len(left.patches)} blobs ({patched:,} bytes) as {patch_bytes:,} bytes",
            f"补丁：{len(left.patches)} 个数据块（{patched:,} 字节）以 {patch_bytes:,} 字节携带",
        ),
        tr(f"release: manifest sha256 {left.release_sha256}", f"版次：清单 sha256 {left.release_sha256}"),
    ]


def differential_facts(left: Differential) -> dict[str, object]:
    """Return what a differential holds, for programs."""
    return {
        "release_sha256": left.release_sha256,
        "bases": [
            {
                "kind": base.kind,
                "name": base.name,
                "version": base.version,
                "sequence": base.sequence,
                "sha256": base.sha256,
            }
            for base in left.bases
        ],
        "absent": len(left.absent),
        "absent_bytes": sum(entry.size for entry in left.absent),
        "patches": len(left.patches),
        "patched_bytes": sum(patch.result.size for patch in left.patches),
        "needed": [{"sha256": entry.sha256, "size": entry.size} for entry in left.needed],
    }
