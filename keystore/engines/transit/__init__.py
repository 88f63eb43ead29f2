"""Transit: keys that encrypt, sign and authenticate what others store, and never leave unless they may."""

from keystore.engines.transit.engine import Transit

__all__ = ["Transit"]
