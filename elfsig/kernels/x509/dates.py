"""The dates that x509_decode_time() reads (crypto/asymmetric_keys/x509_cert_parser.c since Linux 4.4)."""

from __future__ import annotations

UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
_MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def date_fault(tag: int, text: bytes) -> str | None:
    """Why x509_decode_time() refuses a date, None where it reads it."""
    shown = text.decode("ascii", "backslashreplace")
    if tag not in (UTC_TIME, GENERALIZED_TIME):
        return f"neither UTCTime nor GeneralizedTime (tag {tag:#04x})"
    digits = 12 if tag == UTC_TIME else 14
    if len(text) != digits + 1 or text[-1:] != b"Z" or not text[:-1].isdigit():
        form = "YYMMDDHHMMSSZ" if tag == UTC_TIME else "YYYYMMDDHHMMSSZ"
        return f"{shown} is not of the form {form}"
    year = int(text[: digits - 10])
    if tag == UTC_TIME:
        year += 1900 if year >= 50 else 2000
    elif 1950 <= year <= 2049:
        return f"{shown} is a year that must be written as UTCTime"
    if year < 1970:
        return f"{shown} is before 1970"
    month, day, hour, minute, second = (int(text[n : n + 2]) for n in range(digits - 10, digits, 2))
    if not 1 <= month <= 12 or not 1 <= day <= _days(year, month):
        return f"{shown} is not a day of the calendar"
    return f"{shown} is not a time of day" if hour > 24 or minute > 59 or second > 60 else None


def _days(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and leap else _MONTHS[month - 1]
