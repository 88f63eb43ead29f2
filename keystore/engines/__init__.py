"""Secrets engines: each answers the requests below the path that it is mounted at."""
