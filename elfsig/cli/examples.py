"""The examples that ``--help`` shows, in one table; the tests run them."""

from __future__ import annotations

HEADING = "Examples:"

EXAMPLES: dict[str, tuple[str, ...]] = {
    "list": (
        "elfsig list nvme.ko.xz",
        "elfsig list /lib/modules/6.1.0-54-amd64 --only unsigned",
        "elfsig list --sections old.ko | grep 'sig.*NOTE'",
    ),
    "show": (
        "elfsig show nvme.ko.xz",
        "elfsig show -F sig_hashalgo nvme.ko",
        "elfsig show --extract parts/ nvme.ko",
    ),
    "verify": (
        "elfsig verify driver.ko --trust mok.der",
        "elfsig verify /mnt/lib/modules --trust /mnt/boot/vmlinuz-6.1.0-54-amd64",
        "elfsig verify old.ko --trust rhel5.gpg --kernel rhel5 --enforce",
    ),
    "survey": (
        "elfsig survey linux-image.deb --trust vendor.der",
        "elfsig survey initrd.img --trust vendor.der --html report.html",
        "elfsig survey mirror/ --trust vendor.der --jsonl",
        "elfsig survey mirror/ --trust vendor.der --parts 4 -o out/",
        "elfsig survey lib/modules --against linux-image.deb",
        "elfsig survey mirror/ --trust vendor.der --parquet modules.parquet",
    ),
    "evidence": (
        "elfsig evidence disk.tar --trust vendor.der -o case.tar",
        "elfsig evidence modules/ --trust vendor.der --only invalid -o case.tar",
        "elfsig evidence driver.ko --trust vendor.der -o case/ --html case.html",
    ),
    "sign": (
        "elfsig sign driver.ko --format pkcs7 --key mok.key --cert mok.der -o new.ko",
        "elfsig sign build/ --format pkcs7 --key mok.key --cert mok.der --in-place",
        "elfsig sign old.ko --format note --key gpg:01FEBB0A1B945187 -o signed.ko",
    ),
    "strip": (
        "elfsig strip signed.ko -o plain.ko",
        "elfsig strip tree/ --all --output-dir plain/",
    ),
    "convert": (
        "elfsig convert el6 --to pkcs7 --trust el6.gpg --ephemeral new.der --in-place",
        "elfsig convert a.ko --to pkcs7 --trust old.der --ephemeral new.der --dry-run",
    ),
    "attach": (
        "elfsig attach rebuilt.ko --from vendor.ko --trust vendor.der -o signed.ko",
        "elfsig attach driver.ko --from driver.ko.p7s -o signed.ko",
    ),
    "digest": (
        "elfsig digest driver.ko",
        "elfsig digest driver.ko --coverage sorted --hash sha256",
        "elfsig digest driver.ko --coverage sorted -o stream.bin",
    ),
    "compare": (
        "elfsig compare original.ko rebuilt.ko",
        "elfsig compare package/lib/modules server/lib/modules --json",
    ),
    "coverage": (
        "elfsig coverage old.ko",
        "elfsig coverage old.ko --html map.html",
        "elfsig coverage old.ko --prove --trust rhel5.gpg",
    ),
    "explain": (
        "elfsig explain driver.ko --kernel 6.1.0-54-amd64 --trust mok.der --enforce",
        "elfsig explain nvidia --this-machine",
    ),
    "audit": (
        "elfsig audit /lib/modules --trust /boot/vmlinuz-6.1.0-54-amd64",
        "elfsig audit build/ --trust mok.der --hash sha512 --format pkcs7",
        "elfsig audit /lib/modules --trust vendor.der --against linux-image.deb",
    ),
    "dkms": ("elfsig dkms setup --help", "elfsig dkms resign --help"),
    "formats": ("elfsig formats", "elfsig formats --json"),
    "kernels": ("elfsig kernels", "elfsig kernels rhel5"),
    "help": ("elfsig help", "elfsig help keys generate"),
    "schema": ("elfsig schema > elfsig.schema.json",),
    "tour": ("elfsig tour",),
    "sign-file": ("elfsig sign-file sha256 signing_key.pem signing_key.x509 driver.ko",),
    "keys": (
        "elfsig keys list /boot/vmlinuz-6.1.0-54-amd64",
        "elfsig keys match driver.ko mok.der /boot/vmlinuz-6.1.0-54-amd64",
    ),
    "keys list": ("elfsig keys list /boot/vmlinuz-6.1.0-54-amd64 db.esl mok.der",),
    "keys extract": ("elfsig keys extract /boot/vmlinuz-6.1.0-54-amd64 -o certs/",),
    "keys match": ("elfsig keys match driver.ko one.der two.der three.der",),
    "keys certificate": ("elfsig keys certificate --key mok.key --name 'My modules' -o modules",),
    "keys generate": (
        "elfsig keys generate -o signing",
        "elfsig keys generate -o mok --codesigning",
    ),
    "keys install": ("elfsig keys install /etc/keys",),
    "keys openpgp": ("elfsig keys openpgp dsa.pem -o ring.gpg",),
    "keys recover": ("elfsig keys recover one.ko two.ko -o recovered.pem",),
}
"""By the command's full name; each line is a whole command line."""


def with_examples(name: str, epilog: str | None) -> str | None:
    """The epilog of a command, followed by its examples."""
    lines = EXAMPLES.get(name, ())
    if not lines or HEADING in (epilog or ""):
        return epilog
    # \b keeps click from joining the lines.
    block = f"\b\n{HEADING}\n" + "\n".join(f"  {line}" for line in lines)
    return f"{epilog}\n\n{block}" if epilog else block
