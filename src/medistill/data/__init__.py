"""From source files to a corpus on disk, and from there to windows of pairs."""
