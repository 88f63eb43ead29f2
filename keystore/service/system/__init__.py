"""The paths below sys/: seal, mounts, policies, leases, wrapping, keys, audit, tools."""
