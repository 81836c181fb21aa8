"""Figures by the field's protocols, each with its interval, and their page."""
