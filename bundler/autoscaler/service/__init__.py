"""The service: observe, learn, decide and act, every tick, over restarts."""
