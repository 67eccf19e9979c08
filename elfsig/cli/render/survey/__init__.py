"""``survey``: text, the HTML page, SARIF."""
