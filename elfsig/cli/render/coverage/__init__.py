"""``coverage``: text, JSON, the HTML page and SVG."""
