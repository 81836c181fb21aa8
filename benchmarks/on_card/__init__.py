"""The rows of `benchmarks/cuda.py`, and what they share."""
