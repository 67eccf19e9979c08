"""Linux kernel module signatures of every format: find, show, verify, make, remove, convert.

For example:

    import elfsig

    signature = elfsig.verify("driver.ko", trust="/boot/vmlinuz-6.1.0").require_valid()

A module is a path, bytes, a binary stream, or what ``elfsig.open`` returns: a file opened once for any
number of calls. Results are frozen dataclasses; nothing is written to disk. Errors are subclasses of
ElfsigError: ParseError, where bytes are not what their format says, VerificationError, where signatures do
not establish what is required, and others for what cannot be read, made, changed or was asked for wrongly.

**Stability.** The names in ``__all__`` are public, with their parameters, result types, fields, methods and
documented errors; so are the words of verdicts, codes and ids, and the JSON of ``to_json()`` within one
``schema_version``. Modules that are imported by their own path, texts for people and pickles are not. A name
that is to go works for at least one minor version and six months, with a DeprecationWarning. The page
``stability`` of the manual has the details, for plug-ins too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from elfsig._version import __version__

if TYPE_CHECKING:
    from elfsig.api.auditing import audit
    from elfsig.api.bundling import evidence
    from elfsig.api.containers import members
    from elfsig.api.editing import attach, convert, sign, strip
    from elfsig.api.inspecting import compare, coverage, digest
    from elfsig.api.kernels import Explanation, explain, predict
    from elfsig.api.keys import keyring, list_keys
    from elfsig.api.policies import read_policy
    from elfsig.api.surveying import survey, survey_parts
    from elfsig.api.vendor import AgainstRecord, against
    from elfsig.api.verifying import formats, list_signatures, open, verify, verify_tree
    from elfsig.batch.evidence.writer import BundleSummary
    from elfsig.batch.parts.receipt import PartCounts, PartReceipt
    from elfsig.batch.survey.file import Limits
    from elfsig.elf.diff import Difference
    from elfsig.errors import (
        ContainerError,
        EditRefused,
        ElfsigError,
        InternalError,
        KeyFileError,
        KeySourceError,
        ParseError,
        ReadError,
        SigningError,
        UsageError,
        VerificationError,
        WriteError,
    )
    from elfsig.kernels.profile import Mode, Prediction
    from elfsig.model import (
        Cause,
        Certificate,
        ElfSummary,
        Existing,
        FileReport,
        Format,
        Key,
        Loss,
        PacketSigner,
        Place,
        Provenance,
        Remark,
        Signature,
        SignatureReport,
        Signer,
        SignOptions,
        Verdict,
        Why,
    )
    from elfsig.opened.evidence import Evidence
    from elfsig.opened.module import Module, ModuleSource
    from elfsig.registry import Registry
    from elfsig.signers import SignerCertificate, SignerKey, open_signer
    from elfsig.trust.given import KeySource, KeySources
    from elfsig.trust.ring import Ring as Keyring
    from elfsig.verbs.audit.audit import AuditResult
    from elfsig.verbs.audit.rules import Fault
    from elfsig.verbs.edit.attach import Attached
    from elfsig.verbs.edit.convert import Conversion
    from elfsig.verbs.edit.sign import SignResult
    from elfsig.verbs.edit.strip import Removed, StripResult
    from elfsig.verbs.inspect.comparison import ComparedFile, Comparison, Conclusion
    from elfsig.verbs.inspect.cover import Cover
    from elfsig.verbs.inspect.digest import CoverageDigest
    from elfsig.verbs.policy.model import Exemption, ModuleRule, Policy, SignerDemand
    from elfsig.verbs.policy.read import Mistake, PolicyError
    from elfsig.verbs.survey.records import (
        ContainerRecord,
        KernelRecord,
        Layer,
        ModuleRecord,
        SurveyRecord,
    )
    from elfsig.verbs.vendor.relation import Relation, SignedBy, VendorFinding
    from elfsig.verbs.vendor.sources import VendorSource
    from elfsig.verbs.verify.kernel import KernelAnswer

__all__ = [
    "AgainstRecord",
    "Attached",
    "AuditResult",
    "BundleSummary",
    "Cause",
    "Certificate",
    "ComparedFile",
    "Comparison",
    "Conclusion",
    "ContainerError",
    "ContainerRecord",
    "Conversion",
    "Cover",
    "CoverageDigest",
    "Difference",
    "EditRefused",
    "ElfSummary",
    "ElfsigError",
    "Evidence",
    "Exemption",
    "Existing",
    "Explanation",
    "Fault",
    "FileReport",
    "Format",
    "InternalError",
    "KernelAnswer",
    "KernelRecord",
    "Key",
    "KeyFileError",
    "KeySource",
    "KeySourceError",
    "KeySources",
    "Keyring",
    "Layer",
    "Limits",
    "Loss",
    "Mistake",
    "Mode",
    "Module",
    "ModuleRecord",
    "ModuleRule",
    "ModuleSource",
    "PacketSigner",
    "ParseError",
    "PartCounts",
    "PartReceipt",
    "Place",
    "Policy",
    "PolicyError",
    "Prediction",
    "Provenance",
    "ReadError",
    "Registry",
    "Relation",
    "Remark",
    "Removed",
    "SignOptions",
    "SignResult",
    "Signature",
    "SignatureReport",
    "SignedBy",
    "Signer",
    "SignerCertificate",
    "SignerDemand",
    "SignerKey",
    "SigningError",
    "StripResult",
    "SurveyRecord",
    "UsageError",
    "VendorFinding",
    "VendorSource",
    "Verdict",
    "VerificationError",
    "Why",
    "WriteError",
    "__version__",
    "against",
    "attach",
    "audit",
    "compare",
    "convert",
    "coverage",
    "digest",
    "evidence",
    "explain",
    "formats",
    "keyring",
    "list_keys",
    "list_signatures",
    "members",
    "open",
    "open_signer",
    "predict",
    "read_policy",
    "sign",
    "strip",
    "survey",
    "survey_parts",
    "verify",
    "verify_tree",
]

_HOMES = {
    "elfsig.api.auditing": (
        "audit",
    ),
    "elfsig.api.bundling": (
        "evidence",
    ),
    "elfsig.api.containers": (
        "members",
    ),
    "elfsig.api.editing": (
        "attach", "convert", "sign", "strip",
    ),
    "elfsig.api.inspecting": (
        "compare", "coverage", "digest",
    ),
    "elfsig.api.kernels": (
        "Explanation", "explain", "predict",
    ),
    "elfsig.api.keys": (
        "keyring", "list_keys",
    ),
    "elfsig.api.policies": (
        "read_policy",
    ),
    "elfsig.api.surveying": (
        "survey", "survey_parts",
    ),
    "elfsig.api.vendor": (
        "AgainstRecord", "against",
    ),
    "elfsig.api.verifying": (
        "formats", "list_signatures", "open", "verify", "verify_tree",
    ),
    "elfsig.batch.evidence.writer": (
        "BundleSummary",
    ),
    "elfsig.batch.parts.receipt": (
        "PartCounts", "PartReceipt",
    ),
    "elfsig.batch.survey.file": (
        "Limits",
    ),
    "elfsig.elf.diff": (
        "Difference",
    ),
    "elfsig.errors": (
        "EditRefused", "ElfsigError", "KeyFileError", "KeySourceError", "ParseError", "ReadError",
        "SigningError", "UsageError", "VerificationError", "WriteError", "InternalError", "ContainerError",
    ),
    "elfsig.kernels.profile": (
        "Mode", "Prediction",
    ),
    "elfsig.model": (
        "Cause", "Certificate", "ElfSummary", "Existing", "FileReport", "Format", "Key", "Loss",
        "PacketSigner", "Place", "Provenance", "Remark", "SignOptions", "Signature",
        "SignatureReport", "Signer", "Verdict", "Why",
    ),
    "elfsig.opened.evidence": (
        "Evidence",
    ),
    "elfsig.opened.module": (
        "Module", "ModuleSource",
    ),
    "elfsig.registry": (
        "Registry",
    ),
    "elfsig.signers": (
        "SignerCertificate", "SignerKey", "open_signer",
    ),
    "elfsig.trust.given": (
        "KeySource", "KeySources",
    ),
    "elfsig.verbs.audit.audit": (
        "AuditResult",
    ),
    "elfsig.verbs.policy.model": (
        "Exemption", "ModuleRule", "Policy", "SignerDemand",
    ),
    "elfsig.verbs.policy.read": (
        "Mistake", "PolicyError",
    ),
    "elfsig.verbs.survey.records": (
        "ContainerRecord", "KernelRecord", "Layer", "ModuleRecord", "SurveyRecord",
    ),
    "elfsig.verbs.audit.rules": (
        "Fault",
    ),
    "elfsig.verbs.edit.attach": (
        "Attached",
    ),
    "elfsig.verbs.edit.convert": (
        "Conversion",
    ),
    "elfsig.verbs.edit.sign": (
        "SignResult",
    ),
    "elfsig.verbs.edit.strip": (
        "Removed", "StripResult",
    ),
    "elfsig.verbs.inspect.comparison": (
        "ComparedFile", "Comparison", "Conclusion",
    ),
    "elfsig.verbs.inspect.cover": (
        "Cover",
    ),
    "elfsig.verbs.inspect.digest": (
        "CoverageDigest",
    ),
    "elfsig.verbs.vendor.relation": (
        "Relation", "SignedBy", "VendorFinding",
    ),
    "elfsig.verbs.vendor.sources": (
        "VendorSource",
    ),
    "elfsig.verbs.verify.kernel": (
        "KernelAnswer",
    ),
}  # fmt: skip
"""Where each public name is defined: a module is imported when one of its names is first used."""

_WHERE = {name: (module, name) for module, names in _HOMES.items() for name in names}
_WHERE["Keyring"] = ("elfsig.trust.ring", "Ring")


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
