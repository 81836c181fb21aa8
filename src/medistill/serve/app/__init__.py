"""The server: a typed interface over one model and one index, and the page on it."""
