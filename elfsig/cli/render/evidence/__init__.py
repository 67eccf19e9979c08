"""``evidence``: the HTML report, and its pictures."""
