"""One CycloneDX document for a whole bundle, valid, and the same bytes for the same bundle.

Source: CycloneDX 1.6 (ECMA-424). SM3 has no name in its list of hash algorithms, so it is a property.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from bundler.errors import IntegrityError

_NAMESPACE = uuid.UUID("7f6a6c1e-2b7c-5d0e-9a51-6d0b7a5f0c11")
_BASE = "http://cyclonedx.org/schema/"
_SCHEMA = "bom-1.6.SNAPSHOT.schema.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One component to list: digests in hex, `needs` the bom-refs that it depends on, `inside` what it is made of.

    `made_from` is what it was built from: (purl, SHA-256). `mark` keeps apart what is carried for itself and also
    stands inside another part.
    """

    kind: str
    name: str
    version: str
    purl: str
    sha256: str
    sm3: str
    licenses: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    inside: tuple[Part, ...] = ()
    mark: str = ""
    made_from: tuple[tuple[str, str], ...] = ()

    @property
    def ref(self) -> str:
        """The bom-ref: two files may share a purl, never a digest and a purl."""
        return f"{self.purl}#{self.sha256[:16]}" + (f"-{self.mark}" if self.mark else "")


_TYPES = {
    "image": ComponentType.CONTAINER,
    "python": ComponentType.PLATFORM,
    "file": ComponentType.FILE,
    "layer": ComponentType.FILE,
    "artifact": ComponentType.FILE,
    "upstream": ComponentType.FILE,
    "chart": ComponentType.APPLICATION,
    "report": ComponentType.FILE,
}


def make_sbom(
    *,
    name: str,
    version: str,
    created: str,
    ferry_version: str,
    parts: Sequence[Part],
    contents: dict[str, list[dict[str, Any]]],
) -> bytes:
    """Return the document. `contents` maps the ref of an image to the components inside it.

    Raises:
        IntegrityError: the result does not fit CycloneDX's own schema.
    """
    top = Component(
        type=ComponentType.APPLICATION,
        name=name,
        version=version,
        bom_ref="bundle",
        purl=PackageURL("generic", None, name, version),
    )
    components = [_component(part) for part in parts]
    bom = Bom(components=components, version=1)
    bom.metadata.timestamp = datetime.fromisoformat(created)
    bom.metadata.component = top
    bom.metadata.manufacturer = OrganizationalEntity(name="Ferry")
    bom.metadata.tools.components.add(
        Component(type=ComponentType.APPLICATION, name="ferry", version=ferry_version, bom_ref="ferry")
    )
    bom.serial_number = uuid.uuid5(_NAMESPACE, json.dumps([name, version, created, [p.ref for p in parts]]))
    bom.dependencies = [
        Dependency(ref=top.bom_ref, dependencies=[Dependency(ref=one.bom_ref) for one in components]),
        *_dependencies(parts, components),
    ]
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    _add_contents(document, contents)
    document["compositions"] = [{"aggregate": "complete", "assemblies": ["bundle"]}]
    text = json.dumps(_ordered(document), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    check_sbom(text)
    return text.encode()


def _component(part: Part) -> Component:
    return Component(
        type=_TYPES.get(part.kind, ComponentType.LIBRARY),
        name=part.name,
        version=part.version,
        bom_ref=part.ref,
        purl=PackageURL.from_string(part.purl),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)],
        licenses=[DisjunctiveLicense(name=license_) for license_ in part.licenses],
        properties=[Property(name="ferry:kind", value=part.kind), Property(name="ferry:sm3", value=part.sm3)],
        components=[_component(one) for one in part.inside],
        pedigree=Pedigree(ancestors=[_ancestor(*one) for one in part.made_from]) if part.made_from else None,
    )


def _ancestor(purl: str, sha256: str) -> Component:
    known = PackageURL.from_string(purl)
    return Component(
        type=ComponentType.LIBRARY,
        name=known.name,
        version=known.version,
        bom_ref=f"{purl}#{sha256[:16]}",
        purl=known,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
    )


def _dependencies(parts: Sequence[Part], components: Sequence[Component]) -> list[Dependency]:
    by_ref = {component.bom_ref.value: component.bom_ref for component in components}
    return [
        Dependency(ref=by_ref[part.ref], dependencies=[Dependency(ref=by_ref[need]) for need in part.needs])
        for part in parts
        if part.needs
    ]


def _add_contents(document: dict[str, Any], contents: dict[str, list[dict[str, Any]]]) -> None:
    for component in document.get("components", []):
        inside = contents.get(component["bom-ref"])
        if inside:
            component["components"] = inside


def _ordered(value: Any) -> Any:
    """Sort the lists whose order means nothing, so that sets inside libraries leave no trace."""
    if isinstance(value, dict):
        return {key: _ordered(one) for key, one in value.items()}
    if isinstance(value, list):
        return sorted((_ordered(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
    return value


def check_sbom(text: str) -> None:
    """Check a document against the schema of CycloneDX 1.6.

    Raises:
        IntegrityError: it does not fit; the message says where.
    """
    error = next(iter(_validator().iter_errors(json.loads(text))), None)
    if error is not None:
        place = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in error.instance_path)
        raise IntegrityError(f"not valid CycloneDX 1.6: {error.message[:300]}", place=f"sbom.cdx.json{place}")


@cache
def _validator() -> Any:
    directory = files("cyclonedx.schema") / "_res"
    read = {
        path.name: json.loads(path.read_text("utf-8"))
        for path in directory.iterdir()
        if path.name in (_SCHEMA, "spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")
    }
    registry = jsonschema_rs.Registry([(_BASE + name, one) for name, one in read.items()])
    return jsonschema_rs.Draft7Validator(read[_SCHEMA], registry=registry)
