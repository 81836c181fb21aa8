"""From source files to a corpus, and from there to windows."""
