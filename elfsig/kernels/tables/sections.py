"""The kernels that looked for a signature in an ELF section, 2003 to 2012, one row for each behaviour.

Where a row's source says "booted", a genuine kernel was booted and given files to load; where it says
"run", the kernel's own verification code was compiled and run on known answers; where it says "read", the
source was read; where it says "inferred", the fact is known of another kernel with the same source.
"""

from __future__ import annotations

from elfsig.kernels.key_rules import Crypto, Trust
from elfsig.kernels.profile import NO_RELEASE, Packets, Profile, Releases, Replies, Reply, SignatureLocation
from elfsig.kernels.section_era.ksign import Dialect
from elfsig.kernels.section_era.module_header import Head
from elfsig.kernels.tables import parameters
from elfsig.lazy_dataclass import replace
from elfsig.model import Basis

REJECTED = "An attempt to load unsigned module was rejected"
UNKNOWN, FAILED = "Module signed with unknown public key", "Module signature verification failed"
FORMAT = "Module format error encountered"
DAMAGED = "Module signature error encountered"
PARAMETER = "kernel parameter enforcemodulesig"
FORCE = "kernel parameter enforcemodulesig, or built with CONFIG_MODULE_SIG_FORCE"

_COMPILED_IN = Trust((frozenset({"builtin"}),))
_KSIGN = Crypto(frozenset({"sha1"}), frozenset({"dsa"}))
_LOADS = Reply()
_ELF = {"elf": "Module failed ELF checks"}

_EPERM = {"EKEYREJECTED": Reply("EPERM"), "ENOKEY": Reply("EPERM")}
_UNSIGNED_EPERM = {"unsigned": Reply("EPERM", None, REJECTED)}
_UNSIGNED_EKEYREJECTED = {"unsigned": Reply("EKEYREJECTED", None, REJECTED)}

GKH_2003 = Profile(
    id="gkh-2003",
    title="Greg Kroah-Hartman's tree of October 2003",
    releases=Releases(r"2\.6\.0-test.*", ("2.6.0-test6",)),
    walk="gkh-2003",
    look=SignatureLocation("gkh", "section:module_sig", "textdata-2003"),
    packets=Packets(checks_section=False),
    replies=Replies({"unsigned": _LOADS}, {"unsigned": _LOADS}),
    crypto=Crypto(frozenset({"sha1"}), frozenset({"rsa"})),
    trust=_COMPILED_IN,
    basis=Basis.SOURCE,
    source="kernel/module-sig.c and security/rsa of the tree, read",
    tool="module-init-tools",
    switches=("none: a good, a bad and a missing signature have the same result",),
    notes=("the Linux Journal article of January 2004 has a stricter caller (EPERM without the section),"
           " whose check itself was never printed",),
)  # fmt: skip

FC2 = Profile(
    id="fc2",
    title="Fedora Core 2",
    releases=Releases(r"2\.6\.[5-8]-\d.*", ("2.6.8-1.521", "2.6.5-1.358")),
    walk="fc2",
    look=SignatureLocation("gkh", "section:module_sig", "textdata-fc2"),
    packets=Packets(checks_section=False),
    replies=Replies(
        {"unsigned": _LOADS, **_EPERM, "EBADMSG": Reply("EPERM"), "ENOENT": Reply("EPERM")},
        {**_UNSIGNED_EPERM, **_EPERM, "EBADMSG": Reply("EPERM"), "ENOENT": Reply("EPERM")},
    ),
    crypto=_KSIGN,
    trust=_COMPILED_IN,
    basis=Basis.ORIGINAL_CODE,
    source="kernel/module-verify.c and crypto/signature of 2.6.8-1.521, run",
    tool="module-init-tools",
    switches=(PARAMETER,),
    boot=parameters.BEFORE_3_7,
    notes=("whatever is wrong with a signature, the caller turns it into EPERM",),
)

RHEL5 = Profile(
    id="rhel5",
    title="Red Hat Enterprise Linux 5",
    releases=Releases(r"2\.6\.18-.*\.?el5.*", ("2.6.18-398.el5",)),
    walk="ksign",
    head=Head(),
    look=SignatureLocation("redhat", "section:.module_sig", "fileorder"),
    replies=Replies({"unsigned": Reply(None, "U"), **_EPERM}, {**_UNSIGNED_EPERM, **_EPERM}, messages=_ELF),
    crypto=_KSIGN,
    trust=_COMPILED_IN,
    basis=Basis.ORIGINAL_CODE,
    source="kernel/module-verify*.c and crypto/signature of 2.6.18-el5, run; crypto/signature/ksign-parse.c"
    " and kernel/module.c read; that a module with symbols in reserved sections crashes it is inferred from"
    " 2.6.32-504.el6",
    elf="redhat",
    fips="panic",
    tool="module-init-tools",
    switches=(PARAMETER,),
    boot=parameters.BEFORE_3_7,
    notes=("CONFIG_MODULE_SIG_FORCE exists in its configuration, and its verifier never looks at it",),
)

FC4 = replace(
    RHEL5,
    id="fc4",
    title="Fedora Core 2 updates to Fedora Core 4",
    releases=Releases(r"2\.6\.\d+-.*(?:FC[2-4]|fc[34]).*", ("2.6.10-1.771_FC2", "2.6.17-1.2142_FC4")),
    replies=replace(RHEL5.replies, permissive={"unsigned": _LOADS, **_EPERM}),
    basis=Basis.SOURCE,
    source="kernel/module-verify.c of the Fedora trees of 2.6.10 and 2.6.17, read: as in RHEL 5; what"
    " load_module() compares first is inferred from that",
    fips=None,
)

FC6 = replace(
    FC4,
    id="fc6",
    title="Fedora Core 5 and 6",
    releases=Releases(r"2\.6\.\d+-.*(?:FC[56]|fc[56]).*", ("2.6.18-1.2798.fc6", "2.6.20-1.2948.fc6")),
    replies=Replies({"unsigned": _LOADS}, _UNSIGNED_EKEYREJECTED, messages=_ELF),
    basis=Basis.ORIGINAL_CODE,
    source="kernel/module-verify*.c and crypto/signature of 2.6.20-fc6, run",
)

RHEL4 = replace(
    RHEL5,
    id="rhel4",
    title="Red Hat Enterprise Linux 4",
    releases=Releases(r"2\.6\.9-.*EL.*", ("2.6.9-89.ELsmp",)),
    replies=Replies(
        dict.fromkeys(("unsigned", "EKEYREJECTED", "ENOKEY", "ENOENT", "EBADMSG"), _LOADS),
        {**_UNSIGNED_EPERM, **_EPERM},
        messages=_ELF,
    ),
    source="kernel/module-verify*.c and crypto/signature of 2.6.9-EL, run",
    fips=None,
    notes=(
        "unless it enforces, a module whose signature fails loads as though it had none",
        *RHEL5.notes,
    ),
)

_SMALL = r"0?(?:[0-9]|[1-9]\d|[1-3]\d\d|4[0-2]\d|43[01])"
"""Build numbers up to 431; SHA-2 came after that, with 6.6 (504) at the latest."""
_EL6_EARLY = Releases(
    rf"2\.6\.32-{_SMALL}(?:\.[\d.]+)?(?:\.el6(?!.*uek).*|stab(?:0?\d\d|10[0-2])\..*)",
    ("2.6.32-71.el6.x86_64", "2.6.32-431.el6", "2.6.32-042stab061.2"),
)
_EL6_LATE = Releases(
    rf"2\.6\.32-(?:(?!{_SMALL}\D)\d+(?:\.[\d.]+)?\.el6(?!.*uek).*|\d+stab1(?:0[3-9]|[1-9]\d)\..*)",
    ("2.6.32-504.el6", "2.6.32-754.35.1.el6.x86_64", "2.6.32-042stab145.3"),
)
"""OpenVZ's stab103 is built on a kernel with SHA-2."""

RHEL6_EARLY = Profile(
    id="rhel6-early",
    title="Red Hat Enterprise Linux 6.0 to 6.5",
    releases=_EL6_EARLY,
    walk="ksign",
    head=Head(),
    look=SignatureLocation("note", "note:.note.module.sig", "sorted"),
    replies=Replies(
        {"unsigned": Reply(None, "U")},
        _UNSIGNED_EKEYREJECTED,
        messages={**_ELF, "note-damaged": FORMAT, "unknown-key": UNKNOWN, "mismatch": FAILED},
    ),
    crypto=_KSIGN,
    trust=_COMPILED_IN,
    basis=Basis.ORIGINAL_CODE,
    source="kernel/module-verify*.c and crypto/signature of 2.6.32-el6 (also in OpenVZ's tree), run; what"
    " load_module() compares first, FIPS mode, and which symbols crash it are inferred from 2.6.32-504.el6",
    packets=Packets(Dialect()),
    elf="redhat-note",
    elf_line=0,
    fips="crypto-modules",
    tool="module-init-tools",
    switches=(FORCE,),
    boot=parameters.BEFORE_3_7,
    notes=("OpenVZ 6 has the parameter badsigok besides, which lets every bad signature pass",),
)

RHEL6_LATE = replace(
    RHEL6_EARLY,
    id="rhel6-late",
    title="Red Hat Enterprise Linux 6.6 and later",
    releases=_EL6_LATE,
    walk="ksign-any-hash",
    crypto=Crypto(
        frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"}),
        frozenset({"dsa"}),
        absent=frozenset({"sha384", "sha512"}),
    ),
    replies=replace(
        RHEL6_EARLY.replies,
        messages={
            **RHEL6_EARLY.replies.messages,
            "signature-damaged": FORMAT,
            "unsupported-algorithm": FORMAT,
            "no-packet": FORMAT,
        },
    ),
    basis=Basis.BOOTED,
    source="2.6.32-504.el6.x86_64 (Scientific Linux 6.6) booted, on 760 files of every kind of damage: errno,"
    " order and log; kernel/module-verify-sig.c of an OpenVZ 6 tree of that age, read; other machines than"
    " x86_64 are inferred",
    packets=Packets(Dialect(any_hash=True), "ELIBBAD", "ELIBBAD"),
    notes=(
        "which minor release brought SHA-2 is not established: after 2.6.32-431.17.1, and by 2.6.32-504",
        "SHA-384 and SHA-512 need the module sha512_generic to be loaded before; then they ought to pass,"
        " which was not tested",
        "modules of Red Hat (2.6.32-220.el6; i686, x86_64, ppc64, s390x) record a digest that fits the"
        " coverage sorted; this kernel computes the same stream",
    ),
)

UEK2 = replace(
    RHEL6_EARLY,
    id="uek2",
    title="Oracle's 2.6.39 (UEK2), first form",
    releases=NO_RELEASE,
    head=Head(table=True),
    elf_line=2,
    fips=None,
    look=replace(RHEL6_EARLY.look, coverage="fileorder"),
    source="kernel/module-verify*.c, kernel/module.c and crypto/signature of Oracle's tree at 833701ee, read;"
    " digest and note lookup run; which symbols crash it is inferred from 2.6.32-504.el6",
    notes=(
        "this tree runs Red Hat's checker (DSA with SHA-1) and responds like RHEL 6. The table that Oracle"
        " printed for UEK (EKEYEXPIRED, ENOPKG, ENOMSG) describes Howells' series instead: see howells-2012",
    ),
)

UEK2_NOBUILDID = replace(
    UEK2,
    id="uek2-nobuildid",
    title="Oracle's 2.6.39 (UEK2), without the build id",
    releases=Releases(r"2\.6\.39-.*uek.*", ("2.6.39-400.17.1.el6uek",)),
    look=replace(UEK2.look, coverage="fileorder-nobuildid"),
    source="kernel/module-verify-sig.c of Oracle's tree at 731fb92b, read; its digest run",
    notes=(*UEK2.notes, "uek2 responds differently to modules that have a section .note.gnu.build-id"),
)

_ALL_HASHES = frozenset({"md5", "sha1", "rmd160", "sha224", "sha256", "sha384", "sha512"})
HOWELLS_2012 = Profile(
    id="howells-2012",
    title="David Howells' series of 2011-12, signature in a note",
    releases=NO_RELEASE,
    walk="howells-2012",
    look=SignatureLocation("note", "note:.note.module.sig", "sorted-2012"),
    replies=Replies(
        {"unsigned": Reply(None, "U")},
        _UNSIGNED_EKEYREJECTED,
        messages={
            "elf": FORMAT,
            "note-damaged": FORMAT,
            "trailer-length": FORMAT,
            "signature-damaged": DAMAGED,
            "unknown-key": UNKNOWN,
            "mismatch": FAILED,
        },
    ),
    crypto=Crypto(_ALL_HASHES, frozenset({"rsa", "dsa"})),
    trust=_COMPILED_IN,
    basis=Basis.SOURCE,
    source="kernel/module-verify.c and security/keys/crypto of the development tree, read",
    elf="series-2012",
    fips="panic",
    switches=(FORCE,),
    boot=parameters.BEFORE_3_7,
    notes=(
        "its document also lists EKEYEXPIRED for an expired key; in the files read nothing checks that",
        "no released kernel is known to have run it: Oracle's UEK2 tree that was found runs Red Hat's checker"
        " (see uek2), although Oracle printed this series' table for it",
    ),
)

HOWELLS_2012_TRAILER = replace(
    HOWELLS_2012,
    id="howells-2012-trailer",
    title="David Howells' tree of mid 2012, signature after the file",
    releases=NO_RELEASE,
    walk="howells-2012-trailer",
    look=SignatureLocation("crypto-pgp", "trailer:csm"),
    elf=None,
)

HOWELLS_2012_MODARG = replace(
    HOWELLS_2012,
    id="howells-2012-modarg",
    title="David Howells' tree of 2012, signature in a module argument",
    releases=NO_RELEASE,
    walk="howells-2012-modarg",
    look=SignatureLocation("modarg-pgp", "detached:argument"),
    elf=None,
)

ROWS = (
    GKH_2003, FC2, FC4, FC6, RHEL4, RHEL5, RHEL6_EARLY, RHEL6_LATE, UEK2, UEK2_NOBUILDID, HOWELLS_2012,
    HOWELLS_2012_TRAILER, HOWELLS_2012_MODARG,
)  # fmt: skip
