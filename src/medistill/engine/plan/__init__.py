"""What fits into memory and how long it takes, measured by a probe."""
