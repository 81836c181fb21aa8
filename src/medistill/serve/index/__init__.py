"""Case search: embeddings of a corpus as a table, an index over them, and what it finds."""
