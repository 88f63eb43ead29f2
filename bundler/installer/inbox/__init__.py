"""The inbox: bundles in a directory are installed in the maintenance window, or refused with a reason."""
