"""Other people's models behind our interface."""
