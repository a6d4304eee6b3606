"""`python -m app.cli` is `reelkeep`."""

from app.cli.main import main

main()
