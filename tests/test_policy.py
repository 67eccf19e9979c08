"""Policies: how they are read, what is wrong with them, and what they say of modules."""

from __future__ import annotations

import fnmatch
import json
import pickle
import random
import tarfile
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import elfsig
from elfsig.registry import load
from elfsig.verbs.audit.audit import Audited, SignerRow
from elfsig.verbs.audit.rules import RULES, Fault
from elfsig.verbs.policy.judge import Excuses, rule_for
from elfsig.verbs.policy.lines import key_lines
from elfsig.verbs.policy.model import Policy
from elfsig.verbs.policy.pattern import PatternError, pattern
from elfsig.verbs.policy.place import Position, position
from elfsig.verbs.policy.read import MAX_EXCEPTIONS, MAX_LINE, MAX_RULES, MAX_SIZE, PolicyError, read_policy
from tests.support.fleet import fleet, module, signing
from tests.support.run import run

REGISTRY = load(plugins=False)
CHECKOUT = Path(__file__).resolve().parent.parent
GOOD = """\
version = 1

[[rule]]
path = ["kernel/**", "extra/*/x?.ko"]
host = "web*"
release = "6.*"
trust = ["{root}/boot/vmlinuz-{release}", "{kernel}", "platform:keys/{host}.esl"]
keys = "old.pem"
formats = ["cms", "x509"]
hashes = ["sha256", "sha512"]
min-key-bits = { rsa = 3072, ecdsa = 256 }
signer = [{ name = "Build*", serial = "00:0a:ff" }, { fingerprint = "@20" }]
kernel = "{release}"
mode = ["enforce", "lockdown"]
ignore = ["misnamed"]

[[rule]]
path = "**"
trust = "SHA256:@32"
kernel = "auto"
mode = "every"

[[exception]]
path = "updates/**"
name = ["nvidia-drm"]
sha256 = "@32"
host = "web1"
rules = ["other-key", "unsigned"]
reason = \"\"\"
asked on
two lines\"\"\"
expires = 2027-01-31

[[exception]]
name = "zfs"
rules = "other-key"
reason = "built here"
expires = "2027-02-01"
""".replace("@20", "ab" * 20).replace("@32", "ef" * 32)


def policy_of(text: str) -> Policy:
    return read_policy(text.encode(), "p.toml", REGISTRY, "/etc")


def mistakes(text: str | bytes) -> list[tuple[int, str]]:
    """The lines and texts of the mistakes of a policy."""
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(PolicyError) as caught:
        read_policy(data, "p.toml", REGISTRY)
    return [
        (each.line, f"{each.key}: {each.text}" if each.key else each.text) for each in caught.value.mistakes
    ]


def schema() -> Any:
    return jsonschema.Draft202012Validator(
        json.loads((CHECKOUT / "elfsig/data/policy.schema.json").read_text())
    )


def plain(value: Any) -> Any:
    """A TOML document as JSON has it: dates are texts."""
    return json.loads(json.dumps(value, default=str))


# --------------------------------------------------------------------------- reading


def test_every_key_is_read() -> None:
    policy = policy_of(GOOD)
    first, last = policy.rules
    assert [each.written for each in first.paths] == ["kernel/**", "extra/*/x?.ko"]
    assert first.formats == {"pkcs7", "x509"} and first.hashes == {"sha256", "sha512"}
    assert first.key_bits == {"rsa": 3072, "ecdsa": 256} and first.ignore == {"misnamed"}
    assert [each.serial for each in first.signers] == ["aff", None]
    assert (first.mode.enforcing, first.mode.lockdown, first.mode.fips) == (True, True, False)
    assert (first.line, last.line, last.every_mode, last.kernel) == (3, 17, True, "auto")
    excused, zfs = policy.exceptions
    assert (excused.expires, zfs.expires) == (date(2027, 1, 31), date(2027, 2, 1))
    assert excused.names == {"nvidia_drm"} and excused.line == 23
    schema().validate(plain(tomllib.loads(GOOD)))


def test_all_mistakes_are_named_at_once_with_their_lines() -> None:
    text = """\
versoin = 1
[[rule]]
path = ["/abs", "a**b/c", "x[", "ok", "ok"]
trsut = ["x"]
trust = [
  "{root}/boot/{relase}",
  "a}b",
]
formats = ["pkcs8"]
hashes = [5]
min-key-bits = { rsa = "big" }
kernel = "6.l"
mode = ["enforc"]
signer = { nam = "x" }
ignore = []
[[rule]]
path = "**"
trust = "SHA256:nothex"
mode = "fips"
[[exception]]
rules = ["othr-key"]
expires = "2027-13-01"
[[exception]]
sha256 = "12"
reason = " "
rules = "other-key"
expires = 2027-01-01T00:00:00Z
"""
    found = mistakes(text)
    assert [line for line, _ in found] == sorted(line for line, _ in found)
    by_line = dict(found)
    for line, word in {
        1: "did you mean version", 3: "not a pattern", 4: "unknown key; did you mean trust", 6: "release",
        7: "brace", 9: "did you mean pkcs7", 10: "not a text", 11: "not a size in bits", 12: "not a kernel",
        13: "did you mean enforce", 14: "did you mean name", 15: "the array is empty", 18: "fingerprint",
        21: "did you mean other-key", 22: "not a date", 24: "not a SHA-256", 25: "empty", 27: "not a date",
    }.items():  # fmt: skip
        assert word in by_line[line], (line, by_line.get(line))
    said = "\n".join(each for _, each in found)
    assert "reason is missing" in said and "it names no modules" in said and "'ok' is there twice" in said
    assert not schema().is_valid(plain(tomllib.loads(text)))


RULE = '[[rule]]\npath = "**"\ntrust = "a.crt"\n'
EXCEPTION = '[[exception]]\nname = "zfs"\nrules = "other-key"\nreason = "x"\nexpires = 2027-01-01\n'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "there is no [[rule]]"),
        ("rule = 5\n", 1, "not an array of tables"),
        ("[rule]\npath = '**'\ntrust = 'x'\n", 1, "write [[rule]]"),
        ("version = 2\n" + RULE, 1, "not a version"),
        ("version = true\n" + RULE, 1, "not a version"),
        (RULE + 'mode = "fips"\n', 4, "a mode without a kernel"),
        (RULE + 'kernel = "auto"\nmode = ["every", "fips"]\n', 5, "contradict"),
        (RULE + RULE, 4, "never reached: the rule of line 1"),
        (RULE.replace("**", "a*") * 2, 4, "that of the rule of line 1 already"),
        (RULE + 'formats = "pkcs7"\nignore = "other-format"\n', 1, "contradicts formats"),
        (RULE + 'signer = "x"\nignore = "required-signer"\n', 1, "contradicts signer"),
        (RULE + 'kernel = "auto"\nignore = "kernel"\n', 1, "contradicts kernel"),
        (RULE + 'min-key-bits = { rsa = 1 }\nignore = "key-size"\n', 1, "contradicts min-key-bits"),
        (RULE + 'hashes = "sha256"\nignore = "other-hash"\n', 1, "contradicts hashes"),
        (RULE + EXCEPTION + EXCEPTION, 9, "excepted for zfs in line 4 already"),
        (RULE + 'path = "x"\n', 0, "not TOML"),
        (RULE + "x = [\n", 0, "not TOML"),
        (RULE + "x = " + "[" * 2000 + "\n", 0, "nested too deeply"),
        (RULE + "x = 1979-02-30\n", 0, "not TOML"),
    ],
)
def test_a_policy_that_does_not_fit(text: str, line: int, said: str) -> None:
    found = mistakes(text)
    assert any(said in each and (not line or at == line) for at, each in found), found


def test_bytes_that_are_no_text_and_sizes_beyond_the_caps() -> None:
    assert mistakes(b"[[rule]]\npath = '\xff'\n") == [(2, "it is not UTF-8")]
    assert "larger than" in mistakes(b"#" * (MAX_SIZE + 1))[0][1]
    assert mistakes(b"a = 1\n#" + b"x" * MAX_LINE) == [(2, f"the line is longer than {MAX_LINE} bytes")]
    many = "".join(RULE.replace("**", f"m{n}") for n in range(MAX_RULES + 1))
    assert any(f"more than {MAX_RULES}" in said for _, said in mistakes(many))
    more = RULE + "".join(EXCEPTION.replace("zfs", f"m{n}") for n in range(MAX_EXCEPTIONS + 1))
    assert any(f"more than {MAX_EXCEPTIONS}" in said for _, said in mistakes(more))


def test_a_byte_order_mark_and_crlf_are_read() -> None:
    data = b"\xef\xbb\xbf" + (RULE + EXCEPTION).replace("\n", "\r\n").encode()
    policy = read_policy(data, "p.toml", REGISTRY)
    assert (policy.rules[0].line, policy.exceptions[0].line) == (1, 4)


def test_the_error_survives_pickling_and_names_every_line() -> None:
    with pytest.raises(PolicyError) as caught:
        policy_of("a = 1\nb = 2\n")
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.mistakes == caught.value.mistakes and len(again.mistakes) == 3
    assert all(f"p.toml: line {n}" in again.text for n in (1, 2))


def test_the_schema_knows_the_same_keys_and_words() -> None:
    document = json.loads((CHECKOUT / "elfsig/data/policy.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["$defs"]["rule_id"]["enum"] == list(RULES)
    assert document["$defs"]["format"]["enum"] == [
        n for each in REGISTRY.formats for n in (each.id, *each.aliases)
    ]
    assert json.loads(run("schema", "--policy").out) == document


@pytest.mark.parametrize(
    "damage", ["path = 5", 'bogus = "x"', "trust = []", 'mode = "loud"', "min-key-bits = {}"]
)
def test_the_schema_refuses_what_is_refused(damage: str) -> None:
    key = damage.split(" ")[0]
    text = "\n".join(line for line in RULE.splitlines() if not line.startswith(key)) + f"\n{damage}\n"
    assert mistakes(text) and not schema().is_valid(plain(tomllib.loads(text)))


# --------------------------------------------------------------------------- lines


def paths(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if at:
        yield at
    if isinstance(value, dict):
        for key, each in value.items():
            yield from paths(each, (*at, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from paths(each, (*at, number))


TRICKY = [
    'a.b."c.d".\'e f\' = 1\n"\\u0061b" = 2\n',
    'a = """\n[x]\n""\\"""" # comment = 1\nb = \'\'\'\n[[y]]\n\'\'\'\'\'\nc = 3\n',
    "a = [ # c\n  [1, 2], # [z]\n\n  {x = [1,\n 2], 'y.z' = {}},\n]\nb = {}\n",
    "[a]\nx = 1\n[a.b.c]\ny = 2\n[[d]]\n[[d]]\nz = 1\n[d.e]\nf = 2\n[[d.g]]\nh = 1\n[[d.g]]\nh = 2\n",
    "k = 1979-05-27T07:32:00Z\nl = 1979-05-27 07:32:00\nm = 0x1f\nn = -inf\no = [1.0, true]\n",
    "a = '#'\nb = \"\\\"]\"\nc = ['a]', \"b}\", '''c,''']\n",
    "",
    "# only\n\r\n",
]


@pytest.mark.parametrize("text", [*TRICKY, GOOD])
def test_every_key_of_a_document_has_its_line(text: str) -> None:
    found = key_lines(text)
    assert set(found) == set(paths(tomllib.loads(text)))
    rows = text.split("\n")
    for path, line in found.items():
        key = path[-1]
        if isinstance(key, str) and key.isidentifier():
            assert key in rows[line - 1] or "\\u" in rows[line - 1], (path, line)


def _value(chance: random.Random, depth: int) -> str:
    kind = chance.randrange(9 if depth else 6)
    if kind == 6:
        inner = [_value(chance, depth - 1) for _ in range(chance.randrange(4))]
        return "[" + chance.choice([", ", ",\n # ]\n"]).join(inner) + chance.choice(["", "\n"]) + "]"
    if kind >= 7:
        inner = [f"{_key(chance)}{n} = {_value(chance, 0)}" for n in range(chance.randrange(3))]
        return "{" + ", ".join(inner) + "}"
    simple = ["1", "true", '"a#\\"b"', "'c]'", '"""x\n"y" ""\\\n  z"""', "'''\n'q'\n'''"]
    return simple[kind]


def _key(chance: random.Random) -> str:
    return chance.choice(["a", "b-c", '"d.e"', "'f g'", "h.i", '"\\t"."j"'])


def test_lines_of_random_documents() -> None:
    chance = random.Random(7)
    checked = 0
    for _ in range(2000):
        rows = []
        for number in range(chance.randrange(1, 8)):
            head = chance.choice(["", "", f"[t{number}]\n", "[[u]]\n", "[[u.v]]\n", f"[u.w{number}]\n"])
            rows.append(f"{head}{_key(chance)}{number if head else ''} = {_value(chance, 2)}\n")
        text = chance.choice(["", "# c\n"]).join(rows)
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            continue
        checked += 1
        assert set(key_lines(text)) == set(paths(document)), text
    assert checked > 200


def test_lines_take_linear_time() -> None:
    text = "a = [" + "{x = '''" + "]" * 50 + "'''}, " * 1 + "\n" + "[1, 'x'],\n" * 50_000 + "]\n"
    assert key_lines(text)["a", 50_000] == 50_001


# --------------------------------------------------------------------------- patterns and places


@pytest.mark.parametrize(
    ("text", "below", "fits"),
    [
        ("kernel/**", "kernel/drivers/net/x.ko", True),
        ("kernel/**", "kernel/x.ko.xz", True),
        ("kernel/**", "updates/x.ko", False),
        ("kernel/**", "mykernel/x.ko", False),
        ("**/net/*.ko", "kernel/drivers/net/x.ko.zst", True),
        ("**/net/*.ko", "net/x.ko", True),
        ("**/net/*.ko", "net/a/x.ko", False),
        ("kernel/*/x.ko", "kernel/a/b/x.ko", False),
        ("a/**/b/**/c.ko", "a/b/b/b/c.ko", True),
        ("a/**/b/**/c.ko", "a/c.ko", False),
        ("snd-*", "kernel/sound/snd_pcm.ko.gz", True),
        ("snd_pcm", "kernel/sound/snd-pcm.ko", True),
        ("x[0-9]", "kernel/x5.ko", True),
        ("x[!0-9]", "kernel/x5.ko", False),
        ("**", "anything/at/all.ko", True),
        ("kernel/x.ko", "kernel/x.ko.xz", True),
    ],
)
def test_patterns(text: str, below: str, fits: bool) -> None:
    assert pattern(text).matches(below) is fits


@pytest.mark.parametrize(
    "text", ["", "/a", "a//b", "../x", "a/./b", "a/**b", "x[", "[!]", "a" * 2000, "a/***"]
)
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(PatternError):
        pattern(text)


def test_components_match_as_fnmatch_says() -> None:
    chance = random.Random(3)
    for _ in range(3000):
        text = "".join(chance.choice("ab*?[]!-") for _ in range(chance.randrange(1, 6)))
        name = "".join(chance.choice("ab-!") for _ in range(chance.randrange(1, 6)))
        try:
            parsed = pattern(f"d/{text}")
        except PatternError:
            continue
        if text != "**":
            assert parsed.matches(f"d/{name}") is fnmatch.fnmatchcase(name, text), (text, name)


def test_a_pattern_takes_linear_time() -> None:
    hostile = pattern("/".join(["**", "a*a*a*a*a*a*a*b"] * 20))
    assert not hostile.matches("/".join(["a" * 250] * 400))


@pytest.mark.parametrize(
    ("path", "top", "expected"),
    [
        ("/r/lib/modules/6.1/kernel/x.ko", None, Position("/r", "6.1", "kernel/x.ko")),
        ("/r/usr/lib/modules/6.1/x.ko", "/r", Position("/r", "6.1", "x.ko")),
        ("/lib/modules/6.1/x.ko", None, Position("/", "6.1", "x.ko")),
        ("/usr/lib/modules/6.1/x.ko", None, Position("/", "6.1", "x.ko")),
        ("lib/modules/6.1/x.ko", None, Position(".", "6.1", "x.ko")),
        ("a.deb!/data.tar!/lib/modules/6.1/k/x.ko", None, Position("a.deb!/data.tar!", "6.1", "k/x.ko")),
        ("/build/drivers/x.ko", "/build", Position("/build", None, "drivers/x.ko")),
        ("/build/x.ko", None, Position("/build", None, "x.ko")),
        ("/lib/modules/x.ko", "/lib/modules", Position("/lib/modules", None, "x.ko")),
    ],
)
def test_positions(path: str, top: str | None, expected: Position) -> None:
    assert position(path, top) == expected


def test_the_first_rule_that_fits_decides() -> None:
    policy = policy_of(
        '[[rule]]\npath = "kernel/**"\nhost = "web*"\ntrust = "a"\n'
        '[[rule]]\npath = "kernel/**"\nrelease = "6.*"\ntrust = "a"\n'
        '[[rule]]\npath = "x*"\ntrust = "a"\n'
    )
    where = Position("/", "6.1", "kernel/x.ko", "web1")
    assert rule_for(policy, where) == 0
    assert rule_for(policy, where._replace(host="db")) == 1
    assert rule_for(policy, where._replace(host=None, release="5.10")) == 2
    assert rule_for(policy, where._replace(host=None, release=None, below="y.ko")) is None


# --------------------------------------------------------------------------- exceptions


def _audited(*rules: str) -> Audited:
    return Audited(
        "x.ko", None, SignerRow("", "", "", "", ""), tuple(Fault(each, "x.ko", "t") for each in rules)
    )


def test_exceptions_hold_to_their_last_day() -> None:
    policy = policy_of(RULE + EXCEPTION)
    where = Position("/", "6.1", "extra/zfs.ko.xz", None)
    for today, left in ((date(2026, 1, 1), ["unsigned"]), (date(2027, 1, 1), ["unsigned"]),
                        (date(2027, 1, 2), ["other-key", "unsigned"])):  # fmt: skip
        excuses = Excuses(policy, today)
        done = excuses.apply(_audited("other-key", "unsigned"), where)
        assert [each.rule for each in done.faults] == left
        assert [each.rule for each in excuses.expired()] == ["expired-exception"] * (len(left) - 1)
    assert "line 4: expired on 2027-01-01: other-key of zfs (x)" in next(iter(excuses.expired())).text


def test_an_exception_is_for_all_that_it_names_and_nothing_else() -> None:
    policy = policy_of(RULE + EXCEPTION + 'path = "updates/**"\nhost = "web*"\n')
    excuses = Excuses(policy, date(2026, 1, 1))
    where = Position("/", "6.1", "updates/zfs.ko", "web1")
    assert excuses.number("other-key", where, None) == 0
    for other in (where._replace(host="db"), where._replace(host=None), where._replace(below="extra/zfs.ko"),
                  where._replace(below="updates/spl.ko")):  # fmt: skip
        assert excuses.number("other-key", other, None) is None
    assert list(excuses.unused([])) == list(policy.exceptions) and not list(excuses.unused([0]))


def test_an_exception_by_hash_needs_the_hash() -> None:
    policy = policy_of(RULE + EXCEPTION.replace('name = "zfs"', f'sha256 = "{"ab" * 32}"'))
    excuses = Excuses(policy, date(2026, 1, 1))
    assert excuses.needs_hashes
    where = Position("/", "6.1", "x.ko")
    assert excuses.number("other-key", where, "ab" * 32) == 0
    assert (
        excuses.number("other-key", where, "cd" * 32) is None
        and excuses.number("other-key", where, None) is None
    )


# --------------------------------------------------------------------------- the command


@pytest.mark.parametrize(
    "option", [["--trust", "x"], ["--hash", "sha256"], ["--kernel", "auto"], ["--keys", "x"]]
)
def test_options_that_the_policy_replaces(option: list[str], tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(RULE)
    ran = run("audit", tmp_path, "--policy", path, *option)
    assert ran.code == 2 and option[0] in ran.err


def test_a_bad_policy_is_a_usage_error_before_any_module_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("[[rule]]\npath = 5\n[[rule]]\nx = 1\n")
    ran = run("audit", tmp_path / "missing.ko", "--policy", path)
    assert (ran.code, ran.out) == (2, "") and "line 2" in ran.err and "line 4" in ran.err
    path.write_text(RULE)
    ran = run("audit", tmp_path / "missing.ko", "--policy", path)
    assert ran.code == 2 and f"{tmp_path}/a.crt" in ran.err
    assert run("audit", tmp_path, "--policy", tmp_path / "none.toml").code == 2
    assert run("audit").code == 2 and run("audit", "--policy", path).code == 2


# --------------------------------------------------------------------------- the library


def test_the_library_audits_by_a_policy(tmp_path: Path) -> None:
    made = fleet(tmp_path, 3, 2)
    key = signing("foreign")
    made.replace(made.hosts[0], "m00000", key.sign(module("m00000")))
    text = RULE.replace('"a.crt"', '"{kernel}"') + EXCEPTION
    path = tmp_path / "p.toml"
    path.write_text(text)
    policy = elfsig.read_policy(path)
    for given in (path, text.encode(), policy):
        result = elfsig.audit(policy=given, host_roots=made.pattern)
        assert (result.files, [each.rule for each in result.faults]) == (6, ["other-key"])
        assert result.faults[0].host == "host000.example" and result.faults[0].release == made.release(
            "host000"
        )
        assert (result.excused, result.unused) == (0, policy.exceptions)
        assert pickle.loads(pickle.dumps(result)) == result
    root = made.root(made.hosts[0])
    assert len(elfsig.audit(root / "lib/modules", policy=policy, host="h").faults) == 1
    records = tmp_path / "r.jsonl"
    records.write_text(run("survey", "--no-cage", root, "--jsonl", "--keys", root / "boot").out)
    assert [each.rule for each in elfsig.audit(policy=policy, records=records).faults] == ["not-checked"]
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(root, ".")
    assert [each.rule for each in elfsig.audit(tmp_path / "x.tar", policy=policy).faults] == ["other-key"]


def test_what_the_library_refuses(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(RULE.replace('"a.crt"', '"{root}/{host}"'))
    wrong: list[dict[str, Any]] = [
        {"policy": path, "trust": "x"}, {"policy": path, "hashes": ["sha256"]}, {"policy": path},
        {"host_roots": "x*"}, {"policy": b"x = 1"}, {"policy": path, "host_roots": f"{tmp_path}/none*"},
        {"policy": path, "host": "h", "records": path},
    ]  # fmt: skip
    for each in wrong:
        with pytest.raises(elfsig.UsageError):
            elfsig.audit(**each)


def test_what_was_lost_of_sources_that_only_a_worker_reads_is_said(tmp_path: Path) -> None:
    made = fleet(tmp_path, 1, 70)
    (host,) = made.hosts
    root, key = made.root(host), signing(f"Build key of {made.release(host)}")
    good = x509.load_der_x509_certificate(key.certificate).public_bytes(Encoding.PEM)
    (root / "keys.pem").write_bytes(good + good.replace(b"\nMII", b"\nAAA"))
    policy = tmp_path / "policy.toml"
    policy.write_text('[[rule]]\npath = "**"\ntrust = ["{root}/keys.pem"]\n')
    with tarfile.open(tmp_path / "host.tar", "w") as tar:
        tar.add(root, ".")
    for path in (root / "lib/modules", tmp_path / "host.tar"):
        for jobs in ("1", "2"):
            ran = run("audit", "--policy", policy, path, "--json", "-j", jobs)
            (loss,) = json.loads(ran.out)["losses"]
            assert ran.code == 0 and loss["file"].endswith("/keys.pem"), (ran.out, ran.err)
            assert ran.err.count("one entry could not be read") == 1
    (loss,) = elfsig.audit(root / "lib/modules", policy=policy, jobs=2).losses
    assert loss.file == str(root / "keys.pem")
