"""The daemon: listeners, HTTP, and the process around the service."""
