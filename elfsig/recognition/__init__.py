"""What a file is, whatever it was given as: named, so that a message can say it and what to do instead.

One table for every verb. Files are recognized by their content; only firmware, which has no common mark, is
also recognized by its path. ``kinds`` has the words, ``sniff`` recognizes files.
"""
