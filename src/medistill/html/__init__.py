"""What every page is made of: templates, style, charts, pictures, a figure in words."""
