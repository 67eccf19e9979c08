"""survey: the modules in packages, archives, file systems and disk images, and whether all was read."""
