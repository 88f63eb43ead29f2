"""Throw-away isolated machines; `machine.py` beside this package is their command and public face."""
