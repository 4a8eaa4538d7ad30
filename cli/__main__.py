"""`python -m cli` is the command `aimaas`."""

from cli.app import main

main()
