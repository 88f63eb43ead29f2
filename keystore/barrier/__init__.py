"""The sealed store: what lies on the disk is ciphertext, and only who unseals it can read or change a record."""
