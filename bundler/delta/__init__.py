"""Patches between blobs: what is deflated inside is compared inflated, and made again to the very same bytes."""
