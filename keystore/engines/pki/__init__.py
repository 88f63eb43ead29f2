"""PKI: authorities that issue certificates and revoke them, with RSA, ECDSA, Ed25519 and SM2 keys alike."""

from keystore.engines.pki.engine import Pki

__all__ = ["Pki"]
