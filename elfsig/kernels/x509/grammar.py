"""The grammars of crypto/asymmetric_keys/x509.asn1 and x509_akid.asn1, as Linux has them since 3.7 and 4.1.

Their actions are named for what they report. Tags without EXPLICIT or IMPLICIT are explicit there.
"""

from __future__ import annotations

from elfsig.kernels.x509.decoder import ANY, Field

_INTEGER, _BOOLEAN, _BIT_STRING, _OCTETS, _OID = 0x02, 0x01, 0x03, 0x04, 0x06
_UTC_TIME, _GENERALIZED_TIME, _SEQUENCE, _SET = 0x17, 0x18, 0x30, 0x31


def _algorithm(name: str, action: str = "") -> Field:
    parts = (Field("algorithm", _OID, action="oid"), Field("parameters", ANY, optional=True, action="params"))
    return Field(name, _SEQUENCE, parts, action=action)


_ATTRIBUTE = Field(
    "AttributeValueAssertion",
    _SEQUENCE,
    (Field("attributeType", _OID, action="oid"), Field("attributeValue", ANY, action="segment")),
)
_RDN = Field("RelativeDistinguishedName", _SET, (_ATTRIBUTE,), many=True)


def _name(name: str, action: str) -> Field:
    return Field(name, _SEQUENCE, (_RDN,), many=True, action=action)


def _time(name: str, action: str) -> Field:
    both = (Field(name, _UTC_TIME, action=action), Field(name, _GENERALIZED_TIME, action=action))
    return Field(name, choice=both)


_EXTENSION = Field(
    "Extension",
    _SEQUENCE,
    (
        Field("extnid", _OID, action="oid"),
        Field("critical", _BOOLEAN, optional=True),
        Field("extnValue", _OCTETS, action="extension"),
    ),
)

_TBS = (
    Field("version", 0xA0, (Field("version", _INTEGER),), optional=True),
    Field("serialNumber", _INTEGER, action="serial"),
    _algorithm("signature", "signed_with"),
    _name("issuer", "issuer"),
    Field("validity", _SEQUENCE, (_time("notBefore", "not_before"), _time("notAfter", "not_after"))),
    _name("subject", "subject"),
    Field(
        "subjectPublicKeyInfo",
        _SEQUENCE,
        (_algorithm("algorithm"), Field("subjectPublicKey", _BIT_STRING, action="key")),
    ),
    Field("issuerUniqueID", 0x81, optional=True),
    Field("subjectUniqueID", 0x82, optional=True),
    Field("extensions", 0xA3, (Field("extensions", _SEQUENCE, (_EXTENSION,), many=True),), optional=True),
)

CERTIFICATE = (
    Field(
        "Certificate",
        _SEQUENCE,
        (
            Field("tbsCertificate", _SEQUENCE, _TBS, action="tbs"),
            _algorithm("signatureAlgorithm"),
            Field("signature", _BIT_STRING, action="signature"),
        ),
    ),
)

_ANY = (Field("ANY"),)
_GENERAL_NAME = Field(
    "GeneralName",
    choice=(
        Field("otherName", 0xA0, (Field("type-id", _OID), Field("value", 0xA0, _ANY))),
        Field("rfc822Name", 0x81),
        Field("dNSName", 0x82),
        Field("x400Address", 0xA3, _ANY),
        Field("directoryName", 0xA4, (_name("directoryName", "authority_name"),)),
        Field(
            "ediPartyName",
            0xA5,
            (Field("nameAssigner", 0xA0, _ANY, optional=True), Field("partyName", 0xA1, _ANY)),
        ),
        Field("uniformResourceIdentifier", 0x86),
        Field("iPAddress", 0x87),
        Field("registeredID", 0x88),
    ),
)

AUTHORITY_KEY_IDENTIFIER = (
    Field(
        "AuthorityKeyIdentifier",
        _SEQUENCE,
        (
            Field("keyIdentifier", 0x80, optional=True, action="authority_skid"),
            Field("authorityCertIssuer", 0xA1, (_GENERAL_NAME,), optional=True, many=True),
            Field("authorityCertSerialNumber", 0x82, optional=True, action="authority_serial"),
        ),
    ),
)
