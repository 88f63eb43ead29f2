"""The isolated host: verify, plan, apply with a journal, keep operable."""
