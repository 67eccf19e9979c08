"""Many files at once: worker processes, journals, and shortcuts for similar signatures."""
