"""The verbs as plain functions over paths, bytes, binary streams and modules: what ``import elfsig`` offers.

Results are frozen dataclasses. Nothing here writes a file or prompts on the terminal. Third-party formats are
used as on the command line; ``registry`` excludes them or supplies others.
"""
