"""What stands before every route: guard, limits, refusals."""
