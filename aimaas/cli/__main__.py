"""`python -m aimaas.cli` is the command `aimaas`."""

from aimaas.cli.app import main

main()
