"""survey: verify what files contain, one file or many, and tables of the records."""
