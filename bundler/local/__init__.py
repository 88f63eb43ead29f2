"""Images of the builder itself: of a daemon, of an OCI layout, of an archive; into the content store."""
