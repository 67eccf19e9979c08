"""Memory of reading and signing a whole tree: it depends on the largest module, not on their number."""

from __future__ import annotations

from pathlib import Path

from corpus import KEYS
from tests.bench.measure import Row, elfsig_command, peak_memory
from tests.bench.workload import SIGNED, Workload, unsigned

ALLOWANCE = 80_000_000
"""What Python, its libraries and the results may take beside three times the largest module."""


def rows(work: Workload) -> list[Row]:
    """Peak of ``list``, ``verify`` and ``sign``, all their processes together."""
    elfsig, key, certificate = elfsig_command(), KEYS / "signer.key.pem", KEYS / "signer.cert.pem"
    source = unsigned(work, SIGNED)
    output = work.scratch / "memory"
    sign: list[str | Path] = ["sign", "-q", source, "--format", "pkcs7", "--key", key, "--cert", certificate]
    jobs: dict[str, list[str | Path]] = {
        f"elfsig list, {len(work.modules)} modules": ["list", work.tree],
        f"elfsig verify, {len(work.modules)} modules": ["verify", work.tree, "--trust", work.certificate],
        f"elfsig sign, {SIGNED} modules": [*sign, "--output-dir", output],
    }
    limit = 3 * work.largest + ALLOWANCE
    against = f"3 x largest module ({work.largest / 1e6:.0f} MB) + 80 MB"
    return [
        Row(
            f"{name}: peak memory", against, peak_memory([*elfsig, *command]) / 1e6, limit / 1e6, 1, unit="MB"
        )
        for name, command in jobs.items()
    ]
