"""`python -m bundler.cli` is `ferry`."""

from bundler.cli import main

# Guarded: processes that are spawned for work load this module again.
if __name__ == "__main__":
    main()
