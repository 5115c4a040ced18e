"""`python -m voge_cli`."""

from voge_cli.main import app

app(prog_name="voge")
