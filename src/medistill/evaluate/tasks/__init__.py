"""One file a task: what is measured, and the figures it gives."""
