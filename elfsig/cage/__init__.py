"""Work on hostile files in processes that can do nothing but read them, compute, and report.

:class:`~elfsig.cage.cage.Cage` starts them. Layers, from the outside in: limits (processor time, memory,
descriptors, no core dump, no written file), Landlock (reading named paths only, no network, no signals), no
capabilities, seccomp (see :mod:`elfsig.cage.seccomp`), and a limit by the clock that the parent keeps.
What is not available is reported, and the work goes on without it. The careful put a virtual machine or
bwrap around it all.
"""
