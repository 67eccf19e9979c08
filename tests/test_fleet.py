"""Audits of a fleet: two hundred hosts with planted drift, kernels, containers, records, baselines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import elfsig
from elfsig.batch.policy.context import Settings
from elfsig.batch.policy.fleet import Auditor, find_hosts, warm
from elfsig.batch.policy.sources import Recent, Sources
from elfsig.registry import load
from elfsig.trust.forms import read_source
from elfsig.verbs.policy.judge import Excuses
from elfsig.verbs.policy.read import read_policy
from tests.bench.measure import elfsig_command, peak_memory
from tests.support.fleet import Fleet, fleet, hosts_of, kernel, module, signing
from tests.support.run import run
from tests.support.schema import lines, parsed
from tests.support.tools import need

HOSTS = 200
POLICY = """\
version = 1

[[rule]]
path = "kernel/**"
trust = "{kernel}"
formats = "pkcs7"
hashes = ["sha256", "sha512"]
min-key-bits = { rsa = 2048 }
signer = { name = "Build key of *" }

[[rule]]
path = "updates/dkms/**"
trust = ["{root}/var/lib/dkms/mok.pub", "{kernel}"]

[[exception]]
name = "m00004"
host = "host120*"
rules = "unsigned"
reason = "built by hand, ticket 17"
expires = 2099-12-31

[[exception]]
path = "updates/**"
rules = ["other-key"]
reason = "until the key is enrolled"
expires = 2020-06-30

[[exception]]
name = "ghost"
rules = "unsigned"
reason = "was here once"
expires = 2099-12-31
"""

Found = set[tuple[str | None, str, str]]


def told(objects: Iterable[dict[str, Any]]) -> Found:
    """(host, rule, file name) of all faults."""
    return {(f["host"], f["rule"], Path(f["path"]).name) for each in objects for f in each["faults"]}


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """The fleet as it was installed."""
    return fleet(tmp_path_factory.mktemp("fleet"), HOSTS, 6, filling=1 << 20)


@pytest.fixture(scope="module")
def baseline(intact: Fleet) -> Path:
    """What an audit of the intact fleet wrote."""
    ran = run("audit", "--host-root", intact.pattern, "--jsonl")
    assert ran.code == 0, ran.err
    path = intact.folder / "baseline.jsonl"
    path.write_text(ran.out)
    return path


@pytest.fixture(scope="module")
def drifted(intact: Fleet, baseline: Path) -> tuple[Fleet, Found]:
    """The same fleet, with drift of each kind on one host; and what an audit by POLICY has to find."""
    made, hosts = intact, intact.hosts
    own = signing(f"Build key of {made.release(hosts[0])}")
    found: Found = set()

    def plant(number: int, rule: str, name: str) -> str:
        found.add((f"{hosts[number]}.example", rule, name))
        return hosts[number]

    made.replace(plant(0, "other-key", "m00000.ko"), "m00000", signing("foreign").sign(module("m00000")))
    path = made.replace(plant(3, "stripped", "m00001.ko"), "m00001", module("m00001"))
    subprocess.run([need("strip"), "--strip-all", path], check=True)
    path.write_bytes(own.sign(path.read_bytes()))
    host = plant(6, "misnamed", "m00002.ko")
    made.replace(host, "m00002", made.module(host, "m00003").read_bytes())
    host = plant(9, "invalid", "m00003.ko")
    content = bytearray(made.module(host, "m00003").read_bytes())
    content[0x180] ^= 1
    made.replace(host, "m00003", bytes(content))
    made.replace(plant(12, "unsigned", "m00004.ko"), "m00004", module("m00004"))
    made.replace(hosts[120], "m00004", module("m00004"))  # excused
    host = plant(15, "other-hash", "m00005.ko")
    found.add((f"{host}.example", "weak-hash", "m00005.ko"))
    made.replace(host, "m00005", own.sign(module("m00005"), options=elfsig.SignOptions(hash="sha1")))
    host = plant(18, "stacked", "m00000.ko")
    made.replace(host, "m00000", own.sign(own.sign(module("m00000")), existing=elfsig.Existing.STACK))
    host = plant(21, "no-rule", "m00009.ko")
    made.replace(host, "m00009", own.sign(module("m00009")), "extra")
    host = plant(24, "other-key", "m00008.ko")  # the exception for it has expired
    made.replace(host, "m00008", signing("foreign").sign(module("m00008")), "updates/dkms")
    mok = made.root(host) / "var/lib/dkms/mok.pub"
    mok.parent.mkdir(parents=True)
    mok.write_bytes(signing("Machine owner of host024").certificate)
    host = hosts[27]  # signed by the machine's owner: no fault
    made.replace(host, "m00008", signing("Machine owner").sign(module("m00008")), "updates/dkms")
    mok = made.root(host) / "var/lib/dkms/mok.pub"
    mok.parent.mkdir(parents=True)
    mok.write_bytes(signing("Machine owner").certificate)
    (made.root(hosts[30]) / "boot" / f"vmlinuz-{made.release(hosts[30])}").unlink()
    found |= {(f"{hosts[30]}.example", "not-checked", f"{name}.ko") for name in made.names}
    host = plant(33, "required-signer", "m00001.ko")
    other = signing("Someone else", "rsa")
    image = made.root(host) / "boot" / f"vmlinuz-{made.release(host)}"
    image.write_bytes(kernel(made.release(host), own, more=(other,)))
    made.replace(host, "m00001", other.sign(module("m00001")))
    found.add((None, "expired-exception", "policy.toml"))
    (made.folder / "policy.toml").write_text(POLICY)
    return made, found


def test_one_command_finds_all_of_the_drift_and_nothing_else(drifted: tuple[Fleet, Found]) -> None:
    made, planted = drifted
    command = ("audit", "--host-root", made.pattern, "--policy", made.folder / "policy.toml")
    start = time.perf_counter()
    ran = run(*command, "--jsonl")
    took = time.perf_counter() - start
    assert ran.code == 1
    found = lines(ran.out)
    assert told(found) == planted
    modules = [each for each in found if each["path"].endswith(".ko")]
    assert len(modules) == HOSTS * len(made.names) + 3
    assert {each["host"] for each in modules} == set(hosts_of(made))
    assert all(each["release"] in each["path"] and each["sha256"] and each["size"] for each in modules
               if not any(f["rule"] == "no-rule" for f in each["faults"]))  # fmt: skip
    [excused] = [each for each in modules if each["excused"]]
    assert excused["host"] == "host120.example" and excused["faults"] == []
    assert excused["excused"] == [
        {"rule": "unsigned", "reason": "built by hand, ticket 17", "expires": "2099-12-31"}
    ]
    assert "line 28: the exception for ghost excuses nothing" in ran.err
    used = peak_memory([*elfsig_command(), *command], 1)
    print(f"\n{HOSTS} hosts, {len(modules)} modules: {took:.1f} s, at most {used / 1e6:.0f} MB together")
    assert used < 200_000_000


def test_the_document_names_the_policy(drifted: tuple[Fleet, Found]) -> None:
    made, planted = drifted
    command = ("audit", "--host-root", made.pattern, "--policy", made.folder / "policy.toml")
    document = parsed(run(*command, "--json").out)
    assert {(f["host"], f["rule"], Path(f["path"]).name) for f in document["audit"]["faults"]} == planted
    by_hand, until, ghost = document["policy"]["exceptions"]
    assert (by_hand["excused"], by_hand["expired"], by_hand["line"]) == (1, False, 15)
    assert (until["excused"], until["expired"], ghost["excused"]) == (0, True, 0)
    text = run(*command).out
    assert "host000.example: " in text and "on 200 hosts" in text and "expired on 2020-06-30" in text


def test_drift_against_a_baseline_is_told_host_by_host(drifted: tuple[Fleet, Found], baseline: Path) -> None:
    made, _ = drifted
    ran = run("audit", "--host-root", made.pattern, "--policy", made.folder / "policy.toml", "--jsonl",
              "--expect", baseline)  # fmt: skip
    found = told(lines(ran.out))
    name = "{}.example".format
    hosts = made.hosts
    expected: Found = {
        (name(hosts[0]), "other-signer", "m00000.ko"), (name(hosts[3]), "changed", "m00001.ko"),
        (name(hosts[6]), "changed", "m00002.ko"), (name(hosts[9]), "changed", "m00003.ko"),
        (name(hosts[12]), "stripped", "m00004.ko"), (name(hosts[120]), "stripped", "m00004.ko"),
        (name(hosts[21]), "new", "m00009.ko"), (name(hosts[24]), "new", "m00008.ko"),
        (name(hosts[27]), "new", "m00008.ko"), (name(hosts[33]), "other-signer", "m00001.ko"),
    }  # fmt: skip
    drift = {"new", "missing", "changed", "other-signer", "moved"}
    lost = {each for each in found if each[1] == "stripped" and each[2] != "m00001.ko"}
    assert {each for each in found if each[1] in drift} | lost == expected


def test_a_module_that_moved_and_one_that_is_gone(tmp_path: Path) -> None:
    made = fleet(tmp_path, 3, 3)
    before = tmp_path / "before.jsonl"
    before.write_text(run("audit", "--host-root", made.pattern, "--jsonl").out)
    first, second, _ = made.hosts
    old = made.module(first, "m00000")
    made.module(first, "m00000", "updates").parent.mkdir()
    old.rename(made.module(first, "m00000", "updates"))
    made.module(second, "m00001").unlink()
    ran = run("audit", "--host-root", made.pattern, "--jsonl", "--expect", before)
    assert told(lines(ran.out)) == {
        (f"{first}.example", "moved", "m00000.ko"), (f"{second}.example", "missing", "m00001.ko"),
    }  # fmt: skip
    assert ran.code == 1


# --------------------------------------------------------------------------- what hosts share


@pytest.mark.parametrize(
    "rule",
    [
        'trust = "{kernel}"',
        'trust = "{root}/boot/vmlinuz-{release}"',
        'trust = "nobody.pem"\nkeys = "{kernel}"',
    ],
)
def test_a_kernel_image_that_hosts_share_is_unpacked_once(
    rule: str, intact: Fleet, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (intact.folder / "nobody.pem").write_bytes(signing("nobody").certificate)
    reads = Sources()
    unpacked: list[int] = []
    monkeypatch.setattr("elfsig.batch.policy.sources.read_source", _counting(read_source, unpacked))
    text = f"[[rule]]\npath = '**'\n{rule}\n"
    policy = read_policy(text.encode(), "policy.toml", load(plugins=False), str(intact.folder))
    auditor = Auditor(policy, Excuses(policy, _today()), Settings(load(plugins=False)), reads)
    hosts = [
        each
        for each in find_hosts([intact.pattern])
        if each.name not in ("host030.example", "host033.example")
    ]
    start = time.perf_counter()
    warm(hosts, auditor)
    took = (time.perf_counter() - start) / len(hosts)
    print(f"\n{took * 1e3:.1f} ms a host beside its modules")
    assert len(unpacked) == reads.images_read == 3
    assert took < 0.25


def _counting(read: Any, calls: list[int]) -> Any:
    def counted(data: bytes, origin: Any) -> Any:
        calls.append(len(data))
        return read(data, origin)

    return counted


def _today() -> Any:
    import datetime

    return datetime.date(2026, 1, 1)


def test_what_is_kept_is_bounded() -> None:
    kept: Recent[int, int] = Recent(3)
    for number in range(10):
        kept.put(number, number)
        kept.get(7)
    assert len(kept) == 3 and kept.get(7) == 7 and kept.get(0) is None
    assert kept.made(5, lambda: 50) == 50 and kept.made(5, lambda: 51) == 50


def test_keys_that_hosts_share_are_told_by_the_name_of_each(tmp_path: Path) -> None:
    """The keys of a shared image name the file of the host that was asked for, not of the one read first."""
    image = kernel("6.1.0-28-amd64", signing("shared"), filling=1 << 20)
    paths = [str(tmp_path / name / "vmlinuz") for name in ("one", "two")]
    for path in map(Path, paths):
        path.parent.mkdir()
        path.write_bytes(image)
    reads = Sources()
    found = [reads.material(path, True) for path in paths]
    assert reads.images_read == 1
    assert [{key.source for key in each.keys} for each in found] == [{path} for path in paths]
    Path(paths[0]).write_bytes(kernel("6.1.0-28-amd64", signing("other"), filling=1 << 20))
    assert reads.material(paths[0], True).keys[0].label == "other"


@pytest.mark.parametrize("sizes", [(1_000, 30_000)])
def test_memory_does_not_grow_with_the_number_of_modules(sizes: tuple[int, int], tmp_path: Path) -> None:
    used = []
    for size in sizes:
        made = fleet(tmp_path / str(size), size // 100, 100, copies=False)
        used.append(peak_memory([*elfsig_command(), "audit", "-j", "2", "--host-root", made.pattern]))
        shutil.rmtree(tmp_path / str(size))
    print("\n" + ", ".join(f"{n} modules: {u / 1e6:.0f} MB" for n, u in zip(sizes, used, strict=True)))
    assert used[1] < used[0] + 15_000_000


def test_hard_links_of_one_file_are_judged_by_their_names_and_their_host(tmp_path: Path) -> None:
    made = fleet(tmp_path, 6, 2, copies=False)
    first, second = made.hosts[0], made.hosts[3]
    made.module(second, "m00001").unlink()
    made.module(second, "m00001").hardlink_to(made.module(second, "m00000"))
    stranger = made.root(first) / "boot" / f"vmlinuz-{made.release(first)}"
    stranger.unlink()
    stranger.write_bytes(kernel(made.release(first), signing("stranger")))
    found = told(lines(run("audit", "-j", "1", "--host-root", made.pattern, "--jsonl").out))
    assert found == {
        (f"{first}.example", "other-key", "m00000.ko"), (f"{first}.example", "other-key", "m00001.ko"),
        (f"{second}.example", "misnamed", "m00001.ko"),
    }  # fmt: skip


# --------------------------------------------------------------------------- roots


def test_links_are_resolved_in_the_root_of_their_host(tmp_path: Path) -> None:
    made = fleet(tmp_path / "f", 1, 2)
    (host,) = made.hosts
    root, release = made.root(host), made.release(host)
    (root / "usr").mkdir()
    (root / "lib").rename(root / "usr/lib")
    (root / "lib").symlink_to("usr/lib")
    (root / "kernels").mkdir()
    (root / "boot" / f"vmlinuz-{release}").rename(root / "kernels/image")
    (root / "boot" / f"vmlinuz-{release}").symlink_to("/kernels/image")
    ran = run("audit", "--host-root", made.pattern)
    assert (ran.code, "passed: 2 modules on 1 host" in ran.out) == (0, True)
    outside = tmp_path / "outside"
    outside.write_bytes(kernel(release, signing(f"Build key of {release}")))
    (root / "boot" / f"vmlinuz-{release}").unlink()
    (root / "boot" / f"vmlinuz-{release}").symlink_to(outside)  # there is no such file in the root
    ran = run("audit", "--host-root", made.pattern)
    assert ran.code == 4 and "no kernel image" in ran.out
    (root / "boot" / f"vmlinuz-{release}").unlink()
    (root / "boot" / f"vmlinuz-{release}").symlink_to(f"../../../../../../../../../..{outside}")
    assert run("audit", "--host-root", made.pattern).code == 4
    (root / "boot").rename(root / "old")
    (root / "boot").symlink_to(tmp_path)
    (tmp_path / f"vmlinuz-{release}").write_bytes(outside.read_bytes())
    assert run("audit", "--host-root", made.pattern).code == 4


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("web1\n", "web1"),
        ("# set by hand\n\n  db.example.org \n", "db.example.org"),
        ("../../etc\n", "h"),
        ("{root}\n", "h"),
        ("", "h"),
        ("x" * 300, "h"),
        ("-a\n", "h"),
    ],
)
def test_a_host_is_named_by_itself_or_its_directory(content: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "h/etc").mkdir(parents=True)
    (tmp_path / "h/etc/hostname").write_text(content)
    assert [each.name for each in find_hosts([str(tmp_path / "*")])] == [name]


def test_a_pipe_instead_of_a_host_s_name_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "h/etc").mkdir(parents=True)
    os.mkfifo(tmp_path / "h/etc/hostname")
    assert [each.name for each in find_hosts([str(tmp_path / "*")])] == ["h"]


def test_hosts_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder / "etc").mkdir(parents=True)
        (tmp_path / folder / "etc/hostname").write_text("web" if folder < "c" else "db")
    names = [each.name for each in find_hosts([str(tmp_path / "*"), str(tmp_path / "a")])]
    assert names == ["web (a)", "web (b)", "db"]


def test_hosts_that_are_not_there_or_have_nothing(tmp_path: Path) -> None:
    ran = run("audit", "--host-root", str(tmp_path / "*"))
    assert (ran.code, ran.out) == (2, "") and "no directory matches" in ran.err
    (tmp_path / "empty").mkdir()
    ran = run("audit", "--host-root", str(tmp_path / "*"), "--jsonl")
    (each,) = lines(ran.out)
    assert ran.code == 5 and each["host"] == "empty" and each["faults"][0]["rule"] == "unreadable"


@pytest.mark.parametrize(
    ("name", "target", "why"),
    [
        ("6.9.0-gone", "/srv/modules", "no such file"),
        ("6.9.0-loop", "6.9.0-loop", "symbolic links"),
    ],
)
def test_a_release_that_cannot_be_read_is_reported(name: str, target: str, why: str, tmp_path: Path) -> None:
    """Its modules were left out, and the host passed."""
    made = fleet(tmp_path / "f", 1, 1)
    (made.root(made.hosts[0]) / "lib/modules" / name).symlink_to(target)
    ran = run("audit", "--host-root", made.pattern, "--jsonl")
    (found,) = [each for each in lines(ran.out) if each["path"].endswith(name)]
    assert ran.code == 5 and found["faults"][0]["rule"] == "unreadable"
    assert why in found["faults"][0]["text"].lower()


def test_a_tree_of_modules_that_cannot_be_listed_is_reported(tmp_path: Path) -> None:
    made = fleet(tmp_path / "f", 1, 1)
    (made.root(made.hosts[0]) / "usr/lib").mkdir(parents=True)
    (made.root(made.hosts[0]) / "usr/lib/modules").write_text("not a directory")
    ran = run("audit", "--host-root", made.pattern)
    assert ran.code == 5 and "usr/lib/modules" in ran.out


def test_a_release_is_named_by_its_directory_and_not_by_a_link_to_it(tmp_path: Path) -> None:
    """A link that sorts before it gave its name to the modules, and no kernel image was found for them."""
    made = fleet(tmp_path / "f", 1, 1)
    (made.root(made.hosts[0]) / "lib/modules/0-current").symlink_to(made.release(made.hosts[0]))
    assert run("audit", "--host-root", made.pattern).code == 0


def test_a_release_directory_cannot_name_another_place(tmp_path: Path) -> None:
    made = fleet(tmp_path / "f", 1, 1)
    root = made.root(made.hosts[0])
    os.rename(root / "lib/modules" / made.release(made.hosts[0]), root / "lib/modules/{root}")
    ran = run("audit", "--host-root", made.pattern)
    assert ran.code == 4 and "no kernel image of {root}" in ran.out


# --------------------------------------------------------------------------- trees, containers, records


def test_the_same_policy_on_a_tree_an_archive_and_records(
    drifted: tuple[Fleet, Found], tmp_path: Path
) -> None:
    made, planted = drifted
    policy = made.folder / "policy.toml"
    for number in (0, 6, 24, 27, 30, 33):
        host = made.hosts[number]
        root, image = made.root(host), made.root(host) / "boot" / f"vmlinuz-{made.release(host)}"
        expected = {(rule, name) for of, rule, name in planted if of in (f"{host}.example", None)}
        ran = run("audit", root / "lib/modules", "--policy", policy, "--jsonl", "--host", host)
        assert {(rule, name) for _, rule, name in told(lines(ran.out))} == expected
        path = tmp_path / f"{host}.tar"
        with tarfile.open(path, "w") as tar:
            tar.add(root, ".")
        ran = run("audit", path, "--policy", policy, "--jsonl", "--host", host)
        assert {(rule, name) for _, rule, name in told(lines(ran.out))} == expected
        keys: list[str | Path] = ["--keys", image] if image.exists() else []
        for more in (root / "var/lib/dkms/mok.pub", tmp_path / "foreign.der"):
            (tmp_path / "foreign.der").write_bytes(signing("foreign").certificate)
            keys += ["--keys", more] if more.exists() else []
        survey = tmp_path / f"{host}.jsonl"
        survey.write_text(run("survey", "--no-cage", path, "--jsonl", *keys).out)
        ran = run("audit", "--from", survey, "--policy", policy, "--jsonl")
        assert {(rule, name) for _, rule, name in told(lines(ran.out))} == expected, host


@pytest.fixture
def surveyed(tmp_path: Path) -> tuple[Fleet, Path]:
    """A host, and the records of a survey of it with the keys of its kernel."""
    made = fleet(tmp_path / "f", 1, 2)
    root = made.root(made.hosts[0])
    path = tmp_path / "s.jsonl"
    words = ("survey", "--no-cage", root, "--keys", root / "boot", "--host", "web1")
    path.write_text(run(*words, "--jsonl").out)
    (tmp_path / "s.json").write_text(run(*words, "--json").out)
    run(*words, "--parquet", tmp_path / "s.parquet")
    return made, path


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
def test_every_form_of_records_is_read(suffix: str, surveyed: tuple[Fleet, Path], tmp_path: Path) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    policy = tmp_path / "p.toml"
    policy.write_text('[[rule]]\npath = "**"\ntrust = "{kernel}"\n')
    ran = run("audit", "--from", surveyed[1].with_suffix(f".{suffix}"), "--policy", policy, "--jsonl")
    assert ran.code == 0, ran.out
    assert {each["host"] for each in lines(ran.out)} == {"web1"} and len(lines(ran.out)) == 2


def test_the_keys_of_a_kernel_among_the_records_suffice(surveyed: tuple[Fleet, Path]) -> None:
    made, path = surveyed
    shutil.rmtree(made.folder / "fleet")
    policy = path.with_suffix(".toml")
    policy.write_text('[[rule]]\npath = "**"\ntrust = "{kernel}"\n')
    assert run("audit", "--from", path, "--policy", policy).code == 0
    without = "".join(line for line in path.read_text().splitlines(True) if '"record": "kernel"' not in line)
    path.write_text(without)
    ran = run("audit", "--from", path, "--policy", policy)
    assert ran.code == 4 and "no kernel image" in ran.out


def test_what_a_record_does_not_say_is_never_a_pass(surveyed: tuple[Fleet, Path]) -> None:
    _, path = surveyed
    policy = path.with_suffix(".toml")
    rule = '[[rule]]\npath = "**"\ntrust = "{kernel}"\n'
    records = [json.loads(line) for line in path.read_text().splitlines()]

    def found(text: str, **changes: Any) -> tuple[int, set[str]]:
        policy.write_text(text)
        changed = [
            {k: v for k, v in {**each, **changes}.items() if v is not ...}
            if each["record"] == "module"
            else each
            for each in records
        ]
        path.write_text("".join(json.dumps(each) + "\n" for each in changed))
        ran = run("audit", "--from", path, "--policy", policy, "--jsonl")
        return ran.code, {rule for _, rule, _ in told(lines(ran.out))}

    assert found(rule) == (0, set())
    assert found(rule + 'kernel = "auto"\n') == (4, {"not-checked"})
    assert found(rule, unloadable=...) == (4, {"not-checked"})
    assert found(rule + 'ignore = ["stripped", "compression"]\n', unloadable=...) == (0, set())
    assert found(rule, notes={"security.ima": "0301"}) == (4, {"not-checked"})
    assert found(rule, verdict="unknown-key") == found(rule, verdict="unchecked") == (4, {"not-checked"})
    assert found(rule, verdict="invalid") == (1, {"invalid"})
    assert found(rule, unloadable=[{"code": "stripped", "text": "x", "offset": None}]) == (1, {"stripped"})
    assert found(rule.replace("{kernel}", "{root}/none"))[1] == {"not-checked"}
    assert found(rule + 'signer = "Nobody"\n') == (1, {"required-signer"})
    assert found(rule + "min-key-bits = { rsa = 4096 }\n") == (1, {"key-size"})


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"[1, 2]\n", b'{"a": 1}\n', b'{"record": "module", "path": 5}\n', b"[" * 100_000,
     b'{"records": [{"record": "module"}]}', b'{"files": []}', b"PAR1garbage", b"\xff\xfe"],
)  # fmt: skip
def test_records_that_do_not_fit_are_a_usage_error(content: bytes, tmp_path: Path) -> None:
    path, policy = tmp_path / "r.jsonl", tmp_path / "p.toml"
    path.write_bytes(content)
    policy.write_text('[[rule]]\npath = "**"\ntrust = "{kernel}"\n')
    ran = run("audit", "--from", path, "--policy", policy)
    assert (ran.code, ran.out) == (2, "") and str(path) in ran.err


def test_a_bad_line_late_in_the_records_is_found_before_any_is_judged(surveyed: tuple[Fleet, Path]) -> None:
    _, path = surveyed
    first = path.read_text().splitlines(True)[-1]
    for damage in ('"verdict": 5', '"anchor": 7', '"unloadable": [3]', '"notes": []'):
        key = damage.split(":")[0]
        record = json.loads(first)
        record |= json.loads("{" + damage + "}")
        if key == '"anchor"':
            record["signatures"][0]["anchor"] = 7
        path.write_text(first + json.dumps(record) + "\n")
        policy = path.with_suffix(".toml")
        policy.write_text('[[rule]]\npath = "**"\ntrust = "{kernel}"\n')
        ran = run("audit", "--from", path, "--policy", policy, "--jsonl")
        assert (ran.code, ran.out) == (2, "") and ("line 2" in ran.err or key == '"anchor"'), damage


def test_a_container_that_ends_early_is_a_fault(intact: Fleet, tmp_path: Path) -> None:
    host = intact.hosts[60]
    path = tmp_path / "cut.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(intact.root(host), ".")
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"m0000") - 100])
    policy = tmp_path / "p.toml"
    policy.write_text('[[rule]]\npath = "**"\ntrust = "{kernel}"\n')
    ran = run("audit", path, "--policy", policy, "--jsonl")
    assert "incomplete" in {rule for _, rule, _ in told(lines(ran.out))} and ran.code == 5


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
def test_records_of_a_survey_are_a_baseline(suffix: str, surveyed: tuple[Fleet, Path]) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    made, path = surveyed
    host = made.hosts[0]
    words = ("audit", "--host-root", made.pattern, "--jsonl", "--expect", path.with_suffix(f".{suffix}"))
    (made.root(host) / "etc/hostname").write_text("web1\n")
    assert run(*words).code == 0
    made.replace(host, "m00000", module("m00000"))
    made.replace(host, "m00007", signing(f"Build key of {made.release(host)}").sign(module("m00007")))
    made.module(host, "m00001").unlink()
    assert told(lines(run(*words).out)) == {
        ("web1", "unsigned", "m00000.ko"), ("web1", "stripped", "m00000.ko"), ("web1", "new", "m00007.ko"),
        ("web1", "missing", "m00001.ko"),
    }  # fmt: skip


def test_a_damaged_table_is_no_baseline(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1" + bytes(100))
    ran = run("audit", tmp_path / "none.ko", "--trust", "SHA256:" + "0" * 64, "--expect", path)
    assert ran.code == 2
