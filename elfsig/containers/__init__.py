"""Packages, archives, images and compressed files: readers that yield what is in them, in order.

Each format is a declaration in a file of its own (:class:`elfsig.containers.contract.Container`). Everything
is read forward and within a budget, and whether all of it could be read is part of the result.
"""
