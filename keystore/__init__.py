"""An embedded keystore: SM2 signing keys under a passphrase, with nothing to install beside Python."""
