"""Surveys in parts: each part is a file of records, made by itself, on any machine, and left alone once it is
there.

``division`` says which files belong to a part, ``question`` what all parts answer, ``receipt`` what one part
says of itself, ``store`` where they are kept, ``run`` makes them, ``manifest`` closes a directory of parts
and checks it, ``cluster`` has Dask make them.
"""
