"""Many files at once: worker processes, journals, and short ways for signatures that are alike."""
