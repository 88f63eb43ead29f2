"""`python -m bundler.cli` is `ferry`."""

from bundler.cli import main

main()
