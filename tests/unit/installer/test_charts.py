"""Charts on a host: files below the release, for whoever runs helm there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bundles import packed, small_manifest
from charts import pack_chart
from hosts import Host, host_manifest


def test_a_chart_stands_below_the_release(host: Host, tmp_path: Path) -> None:
    manifest, contents = host_manifest(tmp_path, [])
    more, more_contents = small_manifest([pack_chart()])
    item = replace(more.items[0], kind="chart", name="sample-1.10.0.tgz", to="charts/sample-1.10.0.tgz")
    both = replace(manifest, items=(*manifest.items, item), entries=(*manifest.entries, more.entries[-1]))
    host.install(packed(both, {**more_contents, **contents}))
    assert (host.layout.current / "root/charts/sample-1.10.0.tgz").read_bytes() == pack_chart()
