"""The areas that scripts/bench.py measures, one module each."""
