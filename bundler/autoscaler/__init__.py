"""The autoscaler: how many replicas a load needs, when to start and when to drain them."""
