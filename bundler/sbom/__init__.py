"""The SBOM of a bundle: CycloneDX 1.6, every item with purl, SHA-256 and SM3, image contents by syft."""

from __future__ import annotations

from bundler.sbom.document import make_sbom
from bundler.sbom.image import image_components

__all__ = ["image_components", "make_sbom"]
