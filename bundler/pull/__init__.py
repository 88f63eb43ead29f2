"""A bundle out of a registry, written to its file in place."""
