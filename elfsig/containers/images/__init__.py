"""File systems, disk images and volumes, read by dissect's packages: the extra ``images``.

This folder is the only place that imports them. They are licensed under the AGPL (3.0 or later), and elfsig
does not need them: without them these containers have the error needs-extra. What they leave unchecked is
checked here where the format has checksums; each module says what is and what is not.
"""
