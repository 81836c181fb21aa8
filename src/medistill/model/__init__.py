"""The dual encoder, its towers, its tokenizer and its slow copy."""
