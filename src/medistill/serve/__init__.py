"""What a trained model is put to use for."""
