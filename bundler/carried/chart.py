"""Helm charts in a bundle: the archive, its values, and the artifact by which registries hold it.

Source: HIP 6 and 17 (OCI media types of Helm), OCI Image Format Specification 1.1 (image manifest).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from bundler.model.chart import CHART, CHART_CONFIG
from bundler.model.descriptor import IMAGE_MANIFEST, OCTETS, Descriptor
from bundler.model.lock import Lock
from bundler.model.lockedchart import LockedChart
from bundler.model.manifest import Item
from bundler.model.platform import Platform
from bundler.model.purl import generic_purl, helm_purl, image_purl
from bundler.store import Store

_HOST = "ferry.local/charts"


def carry_charts(lock: Lock, platform: Platform, store: Store) -> Iterator[Item]:
    """Return each chart with its values, then the manifest and configuration of its OCI artifact.

    Raises:
        IntegrityError: a blob is not in the store.
    """
    for chart in lock.charts:
        content = store.describe(chart.file.sha256, CHART)
        yield _chart(chart, content)
        for file in chart.values:
            yield Item(
                kind="file",
                name=file.name,
                version=lock.version,
                purl=generic_purl(f"{lock.name}/{file.to}", lock.version),
                descriptor=store.describe(file.sha256, OCTETS),
                source=(("chart", chart.name),),
                to=file.to,
            )
        yield from _artifact(chart, content, store, created=lock.created)


def _chart(chart: LockedChart, content: Descriptor) -> Item:
    where = {"reference": chart.reference} if chart.reference else {"url": chart.file.url} if chart.file.url else {}
    with_ = {"release": chart.release, "namespace": chart.namespace, "kubernetes": chart.kubernetes}
    return Item(
        kind="chart",
        name=f"{chart.name}-{chart.version}.tgz",
        version=chart.version,
        purl=helm_purl(chart.name, chart.version),
        descriptor=content,
        source=tuple(sorted({**where, **with_, "images": " ".join(chart.images)}.items())),
        to=chart.file.to,
    )


def _artifact(chart: LockedChart, content: Descriptor, store: Store, *, created: str) -> Iterator[Item]:
    metadata = {"name": chart.name, "version": chart.version, "apiVersion": chart.api_version}
    metadata |= {"appVersion": chart.app_version} if chart.app_version else {}
    config = store.put(_json(metadata), CHART_CONFIG)
    document = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": _oci(config),
        "layers": [_oci(content)],
        "annotations": {
            "org.opencontainers.image.created": created,
            "org.opencontainers.image.title": chart.name,
            "org.opencontainers.image.version": chart.version,
        },
    }
    # A tag can hold no plus sign; helm writes and reads an underscore for it.
    tag = chart.version.replace("+", "_")
    for descriptor in (store.put(_json(document), IMAGE_MANIFEST), config):
        yield Item(
            kind="artifact",
            name=f"{_HOST}/{chart.name.lower()}:{tag}",
            version=chart.version,
            purl=image_purl(f"{_HOST}/{chart.name.lower()}", descriptor, tag),
            descriptor=descriptor,
            lineage=(helm_purl(chart.name, chart.version),),
        )


def _oci(descriptor: Descriptor) -> dict[str, object]:
    return {"mediaType": descriptor.media_type, "digest": f"sha256:{descriptor.sha256}", "size": descriptor.size}


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
