"""A tower is held against its weights, its recipe and its tokenizer before anything is trained."""
