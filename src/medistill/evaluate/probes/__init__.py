"""What learns from embeddings or films: linear probe, LP++, fine-tuning."""
