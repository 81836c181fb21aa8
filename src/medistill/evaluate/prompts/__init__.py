"""What is asked of the text encoder."""
