"""What the replicas of a pool do, read from their own metrics or from a Prometheus server."""
