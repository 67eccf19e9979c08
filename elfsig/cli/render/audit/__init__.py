"""``audit``: text, JSON, JUnit XML and SARIF."""
