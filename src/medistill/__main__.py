"""`python -m medistill`."""

from medistill.cli.commands import main

main()
