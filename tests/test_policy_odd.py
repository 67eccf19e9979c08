"""Odd policies, baselines and roots: what claims too much is refused, or said not to be known."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import tarfile
from pathlib import Path

import pytest

from elfsig.errors import UsageError
from elfsig.registry import load
from elfsig.verbs.policy.pattern import PatternError, pattern
from elfsig.verbs.policy.read import read_policy
from tests.support.fleet import Fleet, fleet, module
from tests.support.run import run
from tests.support.schema import lines

RULE = "[[rule]]\npath = '{}'\ntrust = '{{kernel}}'\n"


def rules(*paths: str, more: str = "") -> bytes:
    return "".join(RULE.format(path) + more for path in paths).encode()


@pytest.mark.parametrize(
    ("paths", "text"),
    [
        (("kernel/**", "kernel/drivers/**"), "line 4: path: kernel/drivers/** is never reached"),
        (("**/*", "kernel/**"), "the rule of line 1 is for **/*"),
        (("*", "vfat"), "the rule of line 1 is for *"),
        (("nvidia*", "nvidia-drm"), "the rule of line 1 is for nvidia*"),
        (("kernel/*/x.ko", "kernel/fs/x.ko"), "the rule of line 1 is for kernel/*/x.ko"),
        (
            ("updates/**", "kernel/**", "updates/dkms/*.ko"),
            "line 7: path: updates/dkms/*.ko is never reached",
        ),
    ],
)
def test_a_rule_that_never_decides_is_named(paths: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError, match=r"policy\.toml: line") as error:
        read_policy(rules(*paths), "policy.toml", load(plugins=False))
    assert text in error.value.text


@pytest.mark.parametrize(
    "paths",
    [
        ("kernel/drivers/**", "kernel/**"), ("kernel/*", "kernel/**"), ("nvidia", "nvidia*"),
        ("vfat", "kernel/**"), ("a*", "*a"), ("kernel/**/x.ko", "kernel/**"), ("**/dkms/**", "updates/**"),
    ],
)  # fmt: skip
def test_the_first_rule_decides_and_narrow_ones_come_first(paths: tuple[str, ...]) -> None:
    assert len(read_policy(rules(*paths), "p", load(plugins=False)).rules) == 2


def test_rules_for_some_hosts_leave_the_others() -> None:
    known = load(plugins=False)
    some = rules("**", more="host = 'web*'\n")
    assert len(read_policy(some + rules("kernel/**"), "p", known).rules) == 2
    with pytest.raises(UsageError, match="never reached"):
        read_policy(some + rules("kernel/**", more="host = 'web*'\n"), "p", known)


def test_what_covers_a_pattern_matches_all_that_it_matches() -> None:
    parts = ["**", "*", "a", "b.ko", "a*", "?.ko"]
    every = [pattern("/".join(each)) for n in (2, 3) for each in itertools.product(parts, repeat=n)]
    names = [
        ["/".join(each) for each in itertools.product(("a", "b.ko", "ab", "c.ko"), repeat=n)]
        for n in (1, 2, 3)
    ]
    paths = list(itertools.chain(*names))
    chosen, found = random.Random(3), 0
    for _ in range(4000):
        wide, narrow = chosen.choice(every), chosen.choice(every)
        if wide.covers(narrow):
            found += 1
            missed = [each for each in paths if narrow.matches(each) and not wide.matches(each)]
            assert missed == [], (wide, narrow)
    assert found > 100


@pytest.mark.parametrize("text", ["vfat.ko", "vfat.ko.xz", "*.ko", "kernel/**/vfat.ko.xz", "kernel/*.ko.zst"])
def test_a_pattern_with_a_suffix_that_is_not_compared_is_a_mistake(text: str) -> None:
    with pytest.raises(PatternError, match="suffix"):
        pattern(text)


@pytest.mark.parametrize(
    "text", ["2027-W01-1", "20270101", "2027-1-1", "2027-01-01T00:00:00+02:00", "tomorrow"]
)
def test_days_have_one_form(text: str, tmp_path: Path) -> None:
    form = f"[[exception]]\nname = 'x'\nrules = 'unsigned'\nreason = 'r'\nexpires = '{text}'\n"
    with pytest.raises(UsageError, match=r"line 8: expires: .* is not a date"):
        read_policy(rules("**") + form.encode(), "p", load(plugins=False))


def test_a_key_source_that_cannot_be_read_is_named_with_its_line(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    for trust in ("absent.pem", "a\\u0000b"):
        policy.write_text(f'# a policy\n\n[[rule]]\npath = "**"\ntrust = "{trust}"\n')
        ran = run("audit", tmp_path, "--policy", policy)
        assert (ran.code, ran.out) == (2, "") and f"{policy}: line 3: " in ran.err


# --------------------------------------------------------------------------- hosts and baselines


@pytest.fixture
def hosts(tmp_path: Path) -> Fleet:
    return fleet(tmp_path / "f", 2, 2)


def test_a_host_is_audited_once_whatever_leads_to_it(hosts: Fleet, tmp_path: Path) -> None:
    root = hosts.root(hosts.hosts[0])
    (tmp_path / "link").symlink_to(root)
    (root.parent / "alias").symlink_to(root)
    aside = f"{root.parent}/../{root.parent.name}/{root.name}"
    every: list[str | Path] = [hosts.pattern]
    ways: list[str | Path] = [tmp_path / "link", root, f"{root}/", aside, hosts.root(hosts.hosts[1])]
    for patterns in (every, ways):
        words: list[str | Path] = []
        for each in patterns:
            words += ["--host-root", each]
        found = lines(run("audit", *words, "--jsonl").out)
        assert len(found) == 4 and all(Path(each["path"]).is_relative_to(root.parent) for each in found)


def _expected(hosts: Fleet, text: str) -> tuple[int, set[str], str]:
    path = hosts.folder / "expected.jsonl"
    path.write_text(text)
    ran = run("audit", "--host-root", hosts.pattern, "--jsonl", "--expect", path)
    return ran.code, {fault["rule"] for each in lines(ran.out) for fault in each["faults"]}, ran.err


def test_a_baseline_of_two_runs(hosts: Fleet) -> None:
    """The same twice is once; runs that differ would make one of them seem missing."""
    first = run("audit", "--host-root", hosts.pattern, "--jsonl").out
    assert _expected(hosts, first)[:2] == (0, set())
    assert _expected(hosts, first + first)[:2] == (0, set())
    second = run("audit", "--host-root", hosts.pattern, "--jsonl").out
    assert _expected(hosts, first + second)[:2] == (0, set())
    path = hosts.module(hosts.hosts[0], "m00000")
    hosts.replace(hosts.hosts[0], "m00000", path.read_bytes() + b"\n")
    changed = run("audit", "--host-root", hosts.pattern, "--jsonl").out
    code, _, err = _expected(hosts, first + changed)
    assert code == 2 and f"{path} is there twice, and differs" in err


def test_records_of_another_version_are_refused(hosts: Fleet, tmp_path: Path) -> None:
    audited = run("audit", "--host-root", hosts.pattern, "--jsonl").out
    code, _, err = _expected(hosts, audited.replace('"schema_version": 1', '"schema_version": 2'))
    assert code == 2 and "schema_version is 2" in err
    whole = run("audit", "--host-root", hosts.pattern, "--json").out
    assert _expected(hosts, whole.replace('"schema_version": 1', '"schema_version": 2'))[0] == 2
    records, policy = tmp_path / "r.jsonl", tmp_path / "p.toml"
    surveyed = run("survey", "--no-cage", hosts.root(hosts.hosts[0]), "--jsonl").out
    records.write_text(surveyed.replace('"schema_version": 1', '"schema_version": 2'))
    policy.write_bytes(rules("**"))
    ran = run("audit", "--from", records, "--policy", policy)
    assert (ran.code, ran.out) == (2, "") and "line 1 is of schema_version 2" in ran.err


def test_what_could_not_be_read_to_its_end_has_nothing_missing(hosts: Fleet, tmp_path: Path) -> None:
    root, path = hosts.root(hosts.hosts[0]), tmp_path / "host.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(root, ".")
    policy, baseline = tmp_path / "p.toml", tmp_path / "b.jsonl"
    policy.write_bytes(rules("**"))
    words = ("audit", path, "--policy", policy, "--jsonl")
    baseline.write_text(run(*words).out)
    assert run(*words, "--expect", baseline).code == 0
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"m00001.ko")])
    faults = [fault for each in lines(run(*words, "--expect", baseline).out) for fault in each["faults"]]
    assert {fault["rule"] for fault in faults} >= {"incomplete", "not-checked"}
    assert "missing" not in {fault["rule"] for fault in faults}
    assert any("not known, since" in fault["text"] and "host.tar" in fault["text"] for fault in faults)


def test_a_host_that_cannot_be_read_hides_only_its_own(hosts: Fleet) -> None:
    first = run("audit", "--host-root", hosts.pattern, "--jsonl").out
    one, two = hosts.hosts
    (hosts.root(one) / "lib/modules").rename(hosts.root(one) / "lib/old")
    hosts.module(two, "m00001").unlink()
    path = hosts.folder / "expected.jsonl"
    path.write_text(first)
    ran = run("audit", "--host-root", hosts.pattern, "--jsonl", "--expect", path)
    faults = [fault for each in map(json.loads, ran.out.splitlines()) for fault in each["faults"]]
    assert sorted((each["host"], each["rule"]) for each in faults if each["rule"] != "unreadable") == [
        (f"{one}.example", "not-checked"), (f"{one}.example", "not-checked"), (f"{two}.example", "missing"),
    ]  # fmt: skip


def test_a_module_that_could_not_be_read_is_not_new_when_it_can(hosts: Fleet, tmp_path: Path) -> None:
    root = hosts.root(hosts.hosts[0])
    path = hosts.module(hosts.hosts[0], "m00000")
    packed = path.with_suffix(".ko.gz")
    data = gzip.compress(path.read_bytes())
    path.unlink()
    packed.write_bytes(data[:-20])
    tree = root / "lib/modules"
    commands: list[tuple[str | Path, ...]] = [
        ("audit", "--trust", root / "boot"),
        ("verify", "--trust", root / "boot"),
        ("survey", "--no-cage"),
    ]
    for number, words in enumerate(commands):
        packed.write_bytes(data[:-20])
        before = tmp_path / f"{number}.jsonl"
        before.write_text(run(*words, tree, "--jsonl").out)
        assert run("audit", tree, "--trust", root / "boot", "--expect", before).code in (1, 5)
        packed.write_bytes(data)
        ran = run("audit", tree, "--trust", root / "boot", "--expect", before)
        assert ran.code == 0, ran.out
    packed.write_bytes(gzip.compress(module("m00000")))  # unsigned now: that it was signed is not known
    ran = run("audit", tree, "--trust", root / "boot", "--expect", tmp_path / "0.jsonl")
    assert ran.code == 1 and "says that it was signed" not in ran.out
    packed.unlink()
    assert "missing" in run("audit", tree, "--trust", root / "boot", "--expect", before).out
