"""The verbs as plain functions over paths, bytes, binary streams and modules: what ``import elfsig`` offers.

Results are frozen dataclasses. Nothing here writes a file or asks on the terminal. Formats of third parties
take part as they do on the command line; ``registry`` leaves them out or gives others.
"""
