"""URLs: files in object stores and on web servers, through fsspec, which the extra ``remote`` installs.

``urls`` knows what is a URL and which part of it may be shown. ``stores`` is the only module that imports
fsspec. Its file systems work in threads, and a process with threads must not fork cages: ``server`` therefore
runs them in a process of its own, and ``client`` asks that process. Content comes through a pipe in
``frames``.
"""
