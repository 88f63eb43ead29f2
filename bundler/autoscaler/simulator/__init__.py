"""The simulator: arrivals of a trace against a pool of replicas under each policy. It needs numpy and numba."""
