"""What the server answers, by purpose."""
