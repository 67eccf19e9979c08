"""Reports as text, JSON, HTML and SVG."""
