"""How the time of every parser grows with its input: shapes that are bad for a parser, and how to measure."""
