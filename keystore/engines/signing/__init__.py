"""The signing engine: keys with a use policy, which sign only what enough operators have approved."""

from keystore.engines.signing.engine import Signing

__all__ = ["Signing"]
