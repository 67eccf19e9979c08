"""Evidence: what others need to confirm a verdict without elfsig."""
