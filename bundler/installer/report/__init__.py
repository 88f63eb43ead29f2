"""The report of an installation: what was installed from which signed manifest, every check, every stage."""
