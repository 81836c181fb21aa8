"""Evaluations and comparisons as HTML; no number is computed here."""
