"""Payload code that a build runs, always in a namespace without network, by the payload's own Python."""
