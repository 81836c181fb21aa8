"""Objectives against each other: tuned alike, over seeds, under one budget."""
