"""Towers: built at random, from pretrained or from saved weights, and tried."""
