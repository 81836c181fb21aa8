"""Past cases, found by image, text or both."""
