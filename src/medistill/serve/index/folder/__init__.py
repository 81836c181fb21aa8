"""The index in a folder."""
