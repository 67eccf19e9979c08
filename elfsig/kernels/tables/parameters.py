"""The parameters of kernel command lines that decide how strict a kernel is, version by version."""

from __future__ import annotations

from elfsig.kernels.mode import BootParameter, BootParameters, Mode

_ENFORCING, _LOCKDOWN = Mode(enforcing=True), Mode(lockdown=True)

SIGNED_ONLY = BootParameter("enforcemodulesig", _ENFORCING, bare=True, prefix=True)
"""sign_setup() of the kernels of 2004 to 2012."""

SIG_ENFORCE_3_7 = BootParameter("module.sig_enforce", _ENFORCING, r"[yY1]", bare=True)
"""bool_enable_only in kernel/params.c: it can be set and not cleared. The value is that of strtobool()."""
SIG_ENFORCE_4_6 = SIG_ENFORCE_3_7._replace(value=r"[yY1]|[oO][nN]")
"""kstrtobool() in lib/kstrtox.c since a81a5a17d44b."""
SIG_ENFORCE = SIG_ENFORCE_3_7._replace(value=r"[yY1tT]|[oO][nN]")
"""kstrtobool() since 0d6ea3ac94ca (5.19)."""

ANY_LOCKDOWN = BootParameter("lockdown", _LOCKDOWN, bare=True)
"""lockdown_param() in security/lock_down.c, the patch of distributions before 5.4: it ignores the value."""
LOCKDOWN = BootParameter("lockdown", _LOCKDOWN, r"(?:integrity|confidentiality)\Z")
"""lockdown_param() in security/lockdown/lockdown.c: another value, or none, is an error."""

FIPS = BootParameter(
    "fips", Mode(fips=True), r"-?(?:[1-9]|0[xX][0-9a-fA-F]*?[1-9a-fA-F]|0[0-7]*?[1-7])", last=True
)
"""fips_enable() in crypto/fips.c: any number but 0, as simple_strtol() reads it."""

NONE = BootParameters()
BEFORE_3_7 = BootParameters((SIGNED_ONLY, FIPS), dashes=False)
SINCE_3_7 = BootParameters((SIG_ENFORCE_3_7, FIPS), dashes=False)
SINCE_3_15 = BootParameters((SIG_ENFORCE_3_7, FIPS))
SINCE_4_7 = BootParameters((SIG_ENFORCE_4_6, FIPS))
SINCE_4_7_LOCKDOWN = BootParameters((SIG_ENFORCE_4_6, ANY_LOCKDOWN, FIPS))
SINCE_5_4 = BootParameters((SIG_ENFORCE_4_6, LOCKDOWN, FIPS))
SINCE_5_19 = BootParameters((SIG_ENFORCE, LOCKDOWN, FIPS))
"""Before 3.15 the arguments after "--" were parsed too (51e158c12aca)."""
