"""`python -m voge_cli`."""

from voge_cli.main import main

main()
