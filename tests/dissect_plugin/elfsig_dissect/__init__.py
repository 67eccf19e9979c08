"""A plug-in for dissect.target; the directory of this file is what ``--plugin-path`` takes."""
