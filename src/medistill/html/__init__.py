"""What every page is made of: markup, style, charts, pictures, a figure in words."""
