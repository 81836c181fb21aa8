"""`python -m medistill`."""

from medistill.cli import main

main()
