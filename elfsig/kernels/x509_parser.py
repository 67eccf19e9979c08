"""X.509 certificates as the kernel's parser reads them, which is stricter than most and odd in places.

Sources: crypto/asymmetric_keys/x509_cert_parser.c and x509_public_key.c of Linux 6.1 and 6.18. Certificates
with each oddity were put to the parser of 6.1 in user space, and to a running 6.18.44 (add_key(2)). What the
parser does not look at (validity against the clock, extendedKeyUsage) is not checked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal

from elfsig.crypto import der
from elfsig.crypto.oids import BY_OID, SignatureAlgorithm
from elfsig.errors import ParseError
from elfsig.kernels.x509.dates import date_fault
from elfsig.kernels.x509.decoder import LARGEST, Found, decode
from elfsig.kernels.x509.extensions import Extensions
from elfsig.kernels.x509.faults import Fault, Rule, Stage
from elfsig.kernels.x509.grammar import AUTHORITY_KEY_IDENTIFIER, CERTIFICATE
from elfsig.kernels.x509.names import Segments, description
from elfsig.kernels.x509.self_signature import (
    RsaNumbers,
    SelfSignature,
    check_other,
    check_rsa,
    rsa_numbers,
)
from elfsig.lazy_dataclass import dataclass

EC_PUBLIC_KEY = "1.2.840.10045.2.1"
CURVES = {
    "1.2.840.10045.3.1.1": "secp192r1",
    "1.2.840.10045.3.1.7": "secp256r1",
    "1.3.132.0.34": "secp384r1",
    "1.3.132.0.35": "secp521r1",
}
_ML_DSA = frozenset({"mldsa44", "mldsa65", "mldsa87"})

Authority = Literal["none", "own", "other", "contradictory"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a kernel makes of a certificate before it knows of any other key.

    ``faults``: what its parser refuses, in its order. ``signed_with``: how it is signed (None: an identifier
    that is unknown here). ``algorithm``, ``curve`` and ``rsa`` are those of the key; ``curve`` is an
    identifier where it has no name here. ``own_name``: issuer and subject are the same. ``authority``: what
    its authorityKeyIdentifier names; ``authority_skid``: the key identifier in it. ``is_ca``, ``usage``:
    basicConstraints, and the bits of keyUsage that matter. ``tbs`` is the signed part, DER.
    ``description``: what a keyring calls the key.
    """

    faults: tuple[Fault, ...] = ()
    signed_with: SignatureAlgorithm | None = None
    algorithm: str | None = None
    curve: str | None = None
    rsa: RsaNumbers | None = None
    own_name: bool = False
    authority: Authority = "none"
    authority_skid: bytes | None = None
    skid: bytes | None = None
    self_signature: SelfSignature = "unchecked"
    is_ca: bool = False
    usage: int = 0
    tbs: bytes = b""
    description: bytes = b""

    @property
    def checks_itself(self) -> bool:
        """Whether the kernel takes the certificate for self-signed, and checks its signature by itself."""
        return self.own_name and self.authority != "other"

    @property
    def bits(self) -> int:
        """The size of an RSA key; 0 for others."""
        return self.rsa.n.bit_length() if self.rsa else 0

    @property
    def exponent(self) -> int:
        """The public exponent of an RSA key; 0 for others."""
        return self.rsa.e if self.rsa else 0


@lru_cache(maxsize=512)
def facts(certificate: bytes, lenient: bool = False) -> Facts:
    """The facts of a DER certificate; ``lenient``: as Linux before 4.3 decodes it.

    Never raises: what cannot be read is a fault.
    """
    return _Reader(certificate, lenient).facts()


class _Reader:
    """What the parser's callbacks note, up to the first thing that its decoder refuses."""

    def __init__(self, data: bytes, lenient: bool) -> None:
        self._certificate, self._data, self._lenient = data, data, lenient
        self._stage: Stage = "start"
        self._oid, self._algorithm_oid = "", ""
        self._params = b""
        self._bodies: dict[str, bytes] = {}
        self._key: tuple[str | None, str | None] = (None, None)
        self._segments, self._name = Segments(), b""
        self._extensions = Extensions()
        self._authority_serial: bytes | None = None
        self._faults: list[Fault] = []

    def facts(self) -> Facts:
        self._read()
        algorithm, curve = self._key
        row = BY_OID.get(self._algorithm_oid)
        rsa = rsa_numbers(self._bodies["key"][1:]) if algorithm == "rsa" else None
        return Facts(
            faults=tuple(self._faults),
            signed_with=row,
            algorithm=algorithm,
            curve=curve,
            rsa=rsa,
            own_name="subject" in self._bodies and self._bodies["subject"] == self._bodies["issuer"],
            authority=self._authority(),
            authority_skid=self._bodies.get("authority_skid"),
            skid=self._extensions.skid,
            self_signature=self._self_signature(row, algorithm, rsa),
            is_ca=self._extensions.is_ca,
            usage=self._extensions.usage,
            tbs=self._bodies.get("tbs", b""),
            description=description(self._name, self._extensions.skid or self._bodies.get("serial", b"")),
        )

    def _read(self) -> None:
        if len(self._data) > LARGEST:
            text = f"it has {len(self._data)} bytes, and kernels read {LARGEST} at the most"
            self._faults.append(Fault("EMSGSIZE", "too-large", text, "decoder"))
            return
        try:
            decode(self._data, CERTIFICATE, self._note, lenient=self._lenient)
        except ParseError as reason:
            self._refuse(reason, "not-certificate" if self._stage == "start" else "form", "decoder")
            return
        if self._extensions.authority is not None:
            self._data = self._extensions.authority
            try:
                decode(self._data, AUTHORITY_KEY_IDENTIFIER, self._note)
            except ParseError as reason:
                # Before 4.1 (b92e6570a992) it was read in another way: rule "parser".
                self._refuse(reason, "authority-form", "parser")

    def _refuse(self, reason: ParseError, code: str, rule: Rule) -> None:
        what = "its authorityKeyIdentifier" if code == "authority-form" else "it"
        text = f"{what} cannot be parsed ({reason.text})"
        self._faults.append(Fault("EBADMSG", code, text, rule, self._stage))

    def _note(self, action: str, at: Found) -> None:
        """One action of the grammars: kept by its name, then whatever the kernel's callback does."""
        body = self._data[at.body : at.end]
        self._bodies[action] = self._data[at.start : at.next] if action == "tbs" else body
        callback = _CALLBACKS.get(action)
        if callback is not None:
            self._faults.extend(each._replace(stage=self._stage) for each in callback(self, at, body))

    # ------------------------------------------------------------------- callbacks, named as the actions

    def oid(self, at: Found, body: bytes) -> Iterable[Fault]:
        """x509_note_OID()."""
        self._oid, self._params = _dotted(body), b""
        return ()

    def params(self, at: Found, body: bytes) -> Iterable[Fault]:
        """x509_note_params()."""
        self._params = self._data[at.start : at.next]
        return ()

    def signed_with(self, at: Found, body: bytes) -> Iterable[Fault]:
        """x509_note_sig_algo(); which of them a kernel knows is asked later."""
        self._algorithm_oid, self._stage = self._oid, "algorithm"
        return ()

    def segment(self, at: Found, body: bytes) -> Iterable[Fault]:
        """x509_extract_name_segment()."""
        self._segments.add(self._oid, body)
        return ()

    def name(self, at: Found, body: bytes) -> Iterable[Fault]:
        """x509_fabricate_name(): the subject's, which comes last, is used."""
        self._name = self._segments.name()
        return ()

    def not_before(self, at: Found, body: bytes) -> Iterable[Fault]:
        """x509_note_not_before()."""
        return self._date("notBefore", at.tag, body)

    def not_after(self, at: Found, body: bytes) -> Iterable[Fault]:
        """x509_note_not_after()."""
        return self._date("notAfter", at.tag, body)

    @staticmethod
    def _date(name: str, tag: int, body: bytes) -> Iterator[Fault]:
        why = date_fault(tag, body)
        if why is not None:
            yield Fault("EBADMSG", "date", f"its {name} is not a date that kernels read: {why}")

    def key(self, at: Found, body: bytes) -> Iterator[Fault]:
        """x509_extract_key_data(): the algorithm, and for EC keys a curve by its identifier."""
        row = BY_OID.get(self._oid)
        if self._oid == EC_PUBLIC_KEY:
            curve = _object_identifier(self._params)
            self._key = ("ecdsa", CURVES.get(curve, curve))
            if not curve:
                text = "its EC key gives the parameters of its curve instead of the curve's identifier"
                yield Fault("EBADMSG", "parameters", text)
        else:
            self._key = (row.algorithm if row and not row.hash else None, None)
        self._stage = "key"
        if body[:1] != b"\0":
            yield Fault("EBADMSG", "bit-string", "its public key is not in whole bytes", "bit-strings")

    def extension(self, at: Found, body: bytes) -> Iterable[Fault]:
        """x509_process_extension()."""
        return self._extensions.add(self._oid, body)

    def signature(self, at: Found, body: bytes) -> Iterator[Fault]:
        """x509_note_signature()."""
        if self._oid != self._algorithm_oid:
            text = "it names two different signature algorithms"
            yield Fault("EINVAL", "signature-algorithm", text, "decoder")
        row = BY_OID.get(self._algorithm_oid)
        if body[:1] != b"\0" and row is not None and row.algorithm not in _ML_DSA:
            yield Fault("EBADMSG", "bit-string", "its signature is not in whole bytes", "bit-strings")

    def authority_serial(self, at: Found, body: bytes) -> Iterable[Fault]:
        """x509_akid_note_serial(): it counts only after a directoryName."""
        if "authority_name" in self._bodies:
            self._authority_serial = body + self._bodies["authority_name"]
        return ()

    # ------------------------------------------------------------------- what follows the parser

    def _authority(self) -> Authority:
        """x509_check_for_self_signed(): both parts of the authorityKeyIdentifier must agree."""
        own_id = self._bodies.get("serial", b"") + self._bodies.get("issuer", b"")
        pairs = (
            (self._bodies.get("authority_skid"), self._extensions.skid),
            (self._authority_serial, own_id),
        )
        matches = [named == own for named, own in pairs if named is not None]
        if not matches:
            return "none"
        if not any(matches):
            return "other"
        return "own" if all(matches) else "contradictory"

    def _self_signature(
        self, row: SignatureAlgorithm | None, algorithm: str | None, rsa: RsaNumbers | None
    ) -> SelfSignature:
        if row is None or row.algorithm != algorithm or "tbs" not in self._bodies:
            return "unchecked"
        if self._bodies.get("subject") != self._bodies.get("issuer") or "signature" not in self._bodies:
            return "unchecked"
        if rsa is None:
            return check_other(self._certificate, row, self._bodies["key"][1:])
        return check_rsa(rsa, row.hash or "", self._bodies["tbs"], self._bodies["signature"][1:])


_CALLBACKS = {
    "oid": _Reader.oid,
    "params": _Reader.params,
    "signed_with": _Reader.signed_with,
    "segment": _Reader.segment,
    "issuer": _Reader.name,
    "subject": _Reader.name,
    "not_before": _Reader.not_before,
    "not_after": _Reader.not_after,
    "key": _Reader.key,
    "extension": _Reader.extension,
    "signature": _Reader.signature,
    "authority_serial": _Reader.authority_serial,
}


def _dotted(body: bytes) -> str:
    """An object identifier as look_up_OID() knows it: by its shortest encoding; else "" for none."""
    try:
        text = der.decode_oid(body)
    except ParseError:
        return ""
    return text if der.encode_oid(text)[2:] == body else ""


def _object_identifier(element: bytes) -> str:
    """parse_OID(): the identifier in a whole element, "" where it is something else."""
    whole = element[:1] == bytes([der.OID]) and element[1:2] == bytes([len(element) - 2])
    return (_dotted(element[2:]) or element[2:].hex()) if whole else ""
