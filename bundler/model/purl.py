"""Package URLs: what each ecosystem's things are called in an SBOM.

Source: Package URL specification, types deb, generic, helm, oci, pypi, rpm.
"""

from __future__ import annotations

from packageurl import PackageURL
from packaging.utils import canonicalize_name

from bundler.model.deb import LockedDeb
from bundler.model.descriptor import Descriptor
from bundler.model.rpm import LockedRpm


def deb_purl(deb: LockedDeb, suite: str) -> str:
    """Return the purl of a Debian package."""
    qualifiers = {"arch": deb.architecture, "distro": suite}
    return PackageURL("deb", "debian", deb.name, deb.version, qualifiers).to_string()


def rpm_purl(rpm: LockedRpm) -> str:
    """Return the purl of an RPM package; its vendor is the first word of the release."""
    epoch, _, version = rpm.version.rpartition(":")
    qualifiers = {"arch": rpm.architecture, "distro": rpm.release, **({"epoch": epoch} if epoch else {})}
    return PackageURL("rpm", rpm.release.partition("-")[0], rpm.name, version, qualifiers).to_string()


def wheel_purl(name: str, version: str, file: str) -> str:
    """Return the purl of one file of a distribution."""
    return PackageURL("pypi", None, canonicalize_name(name), version, {"file_name": file}).to_string()


def helm_purl(name: str, version: str) -> str:
    """Return the purl of a Helm chart."""
    return PackageURL("helm", None, name, version).to_string()


def generic_purl(name: str, version: str, **qualifiers: str) -> str:
    """Return the purl of something that no ecosystem names; `name` may have a path before it."""
    space, _, last = name.rpartition("/")
    return PackageURL("generic", space or None, last, version, qualifiers).to_string()


def image_purl(name: str, descriptor: Descriptor, tag: str) -> str:
    """Return the purl of a part of an image."""
    qualifiers = {"repository_url": name, **({"tag": tag} if tag else {})}
    return PackageURL("oci", None, name.rpartition("/")[2], f"sha256:{descriptor.sha256}", qualifiers).to_string()
