"""What an audit looks for: one row for each rule. Their ids are part of the interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Verdict
from elfsig.model.json_form import path_members, readable


class Rule(NamedTuple):
    """``title`` says what is wrong, ``help`` what it means and what to do.

    ``refused``: a kernel that enforces signatures does not load such a module.
    """

    id: str
    title: str
    help: str
    refused: bool = False


class Fault(NamedTuple):
    """One thing that is wrong with one file, by the id of its rule; ``offset`` in the content.

    ``fold`` completes "N modules ..." for all the modules of which the same is true; "" for none.
    ``host`` and ``release`` are the machine and the kernel's release that the file belongs to, None where
    they are not known.
    """

    rule: str
    path: str
    text: str
    offset: int | None = None
    fold: str = ""
    host: str | None = None
    release: str | None = None

    def to_json(self) -> dict[str, Any]:
        """An entry of ``faults`` as plain JSON values."""
        text = readable(self.text)
        of = {"host": _shown(self.host), "release": _shown(self.release)}
        return {"rule": self.rule, "text": text, "offset": self.offset, **path_members(self.path), **of}


def _shown(text: str | None) -> str | None:
    return None if text is None else readable(text)


_ROWS = (
    Rule("unsigned", "no signature",
         "Never signed, or signed and then rewritten: strip, objcopy and packaging tools drop an appended "
         "signature silently. In a build, signing comes last.", True),
    Rule("stripped", "lost its symbols or signature",
         "No symbol table, without which kernels refuse a module (\"module has no symbols (stripped?)\"), or "
         "no signature where the expected baseline has one.", True),
    Rule("malformed", "remains of a signature, or a damaged file",
         "The kernel treats it as unsigned or refuses it.", True),
    Rule("invalid", "the signature does not match",
         "The content was changed after it was signed, or another key claims this name.", True),
    Rule("other-key", "signed by another key",
         "It was not made by any of the trusted keys.", True),
    Rule("unsupported", "cannot be checked",
         "elfsig cannot check this algorithm or form.", True),
    Rule("not-a-signature", "proves nothing",
         "What is there is not a signature, even if it is intact.", True),
    Rule("stacked", "several signatures",
         "Kernels look at one of them, the outermost trailer; whether that is the one meant is left to "
         "chance."),
    Rule("other-format", "not the requested format", "elfsig convert makes the requested form."),
    Rule("other-hash", "not the requested hash",
         "A kernel that was built without this hash refuses the module."),
    Rule("weak-hash", "a hash that should not be trusted today",
         "Two files with one MD5 or SHA-1 can be made. SHA-256 and better are sound."),
    Rule("small-key", "a key below 2048 bits",
         "Its private half may have been computed by now."),
    Rule("no-kernel-accepts-it", "a form that no kernel accepts",
         "The signature is right, and kernels refuse it all the same, whatever keys they hold: signed "
         "attributes, RSA-PSS, EdDSA and the like. The kernel's sign-file makes none of them.",
         True),
    Rule("revoked-signer", "also signed with a revoked key",
         "Another signer of the same message is trusted, which is enough for older kernels. Since 6.6 those "
         "with a list of revoked keys refuse the module if one of its signers is on it.",
         True),
    Rule("misnamed", "the module's name is not the file's",
         "A signature does not cover the file's name, so a validly signed module can take the place of "
         "another. DKMS may rename modules (DEST_MODULE_NAME); else install the package again."),
    Rule("compression", "compressed so that kernels cannot read it",
         "Recompress as the kernel does: xz with a CRC32 check and a dictionary of 1 MiB, gzip, or zstd; one "
         "stream.",
         True),
    Rule("stale-ima", "a stale security.ima attribute",
         "IMA appraisal refuses the file. evmctl ima_hash or ima_sign makes a new one."),
    Rule("kernel", "refused by a simulated kernel", "elfsig explain shows why, step by step."),
    Rule("missing", "not there", "Expected, but not among the files that were examined."),
    Rule("changed", "not what it was",
         "The content is another than the baseline says; signing and compressing do not count. elfsig "
         "compare shows where two files differ."),
    Rule("other-signer", "signed by another than before", "The baseline has another key for this module."),
    Rule("moved", "in another place than expected",
         "modprobe takes what is in updates before what is in extra and in kernel."),
    Rule("new", "not in the baseline", "It was added since, or the baseline is of another selection."),
    Rule("vendor-changed", "not what the vendor ships",
         "The content differs from that of the vendor's module for the same kernel. Find out who changed it "
         "before you install the package again."),
    Rule("vendor-signature", "not the vendor's signature",
         "The content is the vendor's; the signature was removed, added or replaced."),
    Rule("vendor-unknown", "unknown to the vendor",
         "Nothing that was given of the vendor's has this module for this kernel: it was built elsewhere, or "
         "comes in a package that was not given."),
    Rule("vendor-missing", "shipped by the vendor, and not there",
         "The vendor ships it for a kernel whose modules are here."),
    Rule("vendor-incomplete", "the vendor's could not be read to the end",
         "What the vendor does not have, and what is missing here, cannot be said."),
    Rule("tainted", "counted as unsigned by the running kernel",
         "It was loaded from another file, or before its key was enrolled."),
    Rule("required-signer", "not signed by the required signer",
         "The policy names who has to sign these modules."),
    Rule("key-size", "a key smaller than required", "The policy says how large keys have to be."),
    Rule("no-rule", "no rule of the policy is for it",
         "A last rule with the path ** is for all other modules."),
    Rule("expired-exception", "an exception of the policy has expired",
         "Mend what it excused, or decide on it again."),
    Rule("not-checked", "what is required could not be checked",
         "The keys could not be read, or a record does not say it: nothing passes because of that."),
    Rule("incomplete", "a container was not read to its end", "It may hold modules that are not listed."),
    Rule("unreadable", "could not be read", "Nothing is known about it."),
)  # fmt: skip

RULES: Mapping[str, Rule] = {row.id: row for row in _ROWS}

IGNORABLE = tuple(rule for rule in RULES if rule not in ("incomplete", "unreadable"))
"""Rules that can be left out of an audit: none passes because something could not be read."""

BY_VERDICT: Mapping[Verdict, str] = {
    Verdict.UNSIGNED: "unsigned",
    Verdict.MALFORMED: "malformed",
    Verdict.INVALID: "invalid",
    Verdict.UNKNOWN_KEY: "other-key",
    Verdict.UNTRUSTED: "other-key",
    Verdict.UNCHECKED: "other-key",
    Verdict.UNSUPPORTED: "unsupported",
    Verdict.NOT_A_SIGNATURE: "not-a-signature",
}
"""The rule that a file's verdict breaks; ``valid`` breaks none."""
