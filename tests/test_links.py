"""Symbolic links in trees: followed as depmod follows them, once each, and none left out in silence."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus
import elfsig
from elfsig.opened.links import KEPT, Links, resolved
from elfsig.opened.walk import WalkedFile, walk
from tests.support.cli import Ran
from tests.support.run import run
from tests.support.schema import lines, parsed
from tests.support.signed import CERT, made
from tests.support.tools import need

MINE = (f"--key={corpus.KEYS}/signer.key.pem", f"--cert={corpus.KEYS}/signer.cert.pem")
PLAIN = corpus.content("amd64-6.1.ko")
SIGNED = made(PLAIN, "pkcs7", "whole-file").content


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def link(path: Path, target: str | Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


def names(entries: list[WalkedFile], root: Path) -> list[str]:
    return [os.path.relpath(each.path, root) for each in entries]


def walked(*paths: Path, links: Links | None = None, **more: Any) -> tuple[list[WalkedFile], Links]:
    links = links or Links()
    return list(walk(paths, links=links, **more)), links


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with links of every kind."""
    tree = tmp_path / "tree"
    put(tree / "kernel/a.ko")
    put(tree / "kernel/kept.original")
    put(tmp_path / "root/un.ko")
    link(tree / "updates/evil.ko", tmp_path / "root/un.ko")
    link(tree / "updates/twice.ko", "../../root/un.ko")
    link(tree / "weak-updates/a.ko", "../kernel/a.ko")
    link(tree / "weak-updates/b.ko", "../kernel/a.ko")
    link(tree / "updates/kept.ko", "../kernel/kept.original")
    link(tree / "gone.ko", "nothing.ko")
    link(tree / "loop.ko", "loop.ko")
    link(tree / "zero.ko", "/dev/zero")
    link(tree / "folder", tmp_path / "root")
    link(tree / "up", "..")
    link(tree / "build", "/usr/src")
    link(tree / "source", "nowhere")
    link(tree / "readme", "kernel/kept.original")
    return tree


# --------------------------------------------------------------------------- the walk


def test_each_kind_of_link(tree: Path, tmp_path: Path) -> None:
    found, links = walked(tree)
    assert names(found, tree) == ["kernel/a.ko", "updates/evil.ko", "updates/kept.ko"]
    assert [each.source for each in found] == [
        str(tree / "kernel/a.ko"), str(tmp_path / "root/un.ko"), str(tree / "kernel/kept.original"),
    ]  # fmt: skip
    assert (links.followed, links.examined_anyway) == (2, 3)
    outside = [os.path.relpath(each.path, tree) for each in links.outside.first]
    assert outside == ["updates/evil.ko", "updates/twice.ko"]
    renamed = {os.path.relpath(each.path, tree) for each in links.renamed.first}
    assert renamed == {"updates/twice.ko", "weak-updates/b.ko"}
    assert {os.path.relpath(each.path, tree): each.why for each in links.not_followed.first} == {
        "gone.ko": "missing",
        "loop.ko": "loop",
        "zero.ko": "special",
        "folder": "directory",
        "up": "directory",
    }


def test_no_follow_counts_what_it_leaves(tree: Path) -> None:
    found, links = walked(tree, links=Links(follow=False))
    assert names(found, tree) == ["kernel/a.ko"]
    assert links.not_followed.count == 10
    assert sum(each.why == "off" for each in links.not_followed.first) == 5


def test_without_an_account_links_are_ignored(tree: Path) -> None:
    assert names(list(walk([tree])), tree) == ["kernel/a.ko"]


def test_what_is_given_too_is_examined_once_and_outside_all_the_same(tree: Path, tmp_path: Path) -> None:
    found, links = walked(tree, tmp_path / "root/un.ko")
    assert [Path(each.path).name for each in found] == ["a.ko", "kept.ko", "un.ko"]
    assert links.outside.count == 2
    both, links = walked(tree, tmp_path / "root")
    assert [Path(each.path).name for each in both] == ["a.ko", "kept.ko", "un.ko"]
    assert links.outside.count == 0


def test_all_files_follows_links_by_content(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere/driver", SIGNED)
    put(tmp_path / "elsewhere/text", b"text")
    for name in ("driver", "text"):
        link(tmp_path / "tree" / name, tmp_path / "elsewhere" / name)
    found, links = walked(tmp_path / "tree", all_files=True)
    assert names(found, tmp_path / "tree") == ["driver"] and links.followed == 1


def test_names_are_kept_up_to_a_bound_and_all_are_counted(tmp_path: Path) -> None:
    put(tmp_path / "tree/a.ko")
    for number in range(KEPT + 5):
        link(tmp_path / f"tree/{number}.ko", "nothing")
    _, links = walked(tmp_path / "tree")
    assert (links.not_followed.count, len(links.not_followed.first)) == (KEPT + 5, KEPT)


def test_a_target_that_may_not_be_searched_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a user other than root; here a refusal of the system stands for it."""
    link(tmp_path / "tree/x.ko", put(tmp_path / "shut/x.ko"))

    def refused(path: str) -> os.stat_result:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr("elfsig.opened.links.os.lstat", refused)
    (entry,) = walk([tmp_path / "tree"], links=Links())
    assert entry.error is not None and entry.error.code == "permission-denied"


# --------------------------------------------------------------------------- other systems' roots


def image(tmp_path: Path) -> Path:
    """A mounted image: K2 has a module of its own, and weak-updates that lead to K1's extra."""
    root = tmp_path / "image"
    put(root / "lib/modules/K2/kernel/own.ko", SIGNED)
    put(root / "lib/modules/K1/extra/more.ko", SIGNED)
    link(root / "lib/modules/K2/weak-updates/more.ko", "/lib/modules/K1/extra/more.ko")
    return root


def test_absolute_links_of_an_image_are_resolved_in_it(tmp_path: Path) -> None:
    root = image(tmp_path)
    found, links = walked(root / "lib/modules/K2")
    assert [each.source for each in found] == [
        str(root / "lib/modules/K2/kernel/own.ko"), str(root / "lib/modules/K1/extra/more.ko"),
    ]  # fmt: skip
    assert [each.target for each in links.outside.first] == [str(root / "lib/modules/K1/extra/more.ko")]
    _, whole = walked(root / "lib/modules")
    assert (whole.outside.count, whole.examined_anyway) == (0, 1)


def test_an_image_with_a_merged_usr(tmp_path: Path) -> None:
    root = tmp_path / "image"
    put(root / "usr/lib/modules/K1/extra/more.ko", SIGNED)
    put(root / "usr/lib/modules/K2/a.ko", SIGNED)
    link(root / "lib", "/usr/lib")
    link(root / "usr/lib/modules/K2/weak-updates/more.ko", "/lib/modules/K1/extra/more.ko")
    found, _ = walked(root / "usr/lib/modules/K2")
    assert found[1].source == str(root / "usr/lib/modules/K1/extra/more.ko")


def test_an_image_is_never_completed_by_files_of_this_system(tmp_path: Path) -> None:
    """Evidence: what a link leads to in the image, it leads to, whatever this system has there."""
    root, here = image(tmp_path), put(tmp_path / "here/un.ko", PLAIN)
    link(root / "lib/modules/K2/updates/evil.ko", here)
    found, links = walked(root / "lib/modules/K2", links=Links(root=root))
    assert len(found) == 2
    assert [(each.target, each.why) for each in links.not_followed.first] == [(str(here), "missing")]
    put(root / "etc/passwd")
    found, links = walked(root / "lib/modules/K2")
    assert len(found) == 2 and links.not_followed.count == 1


def test_a_directory_that_only_looks_like_a_root_is_seen_from_here(tmp_path: Path) -> None:
    root, here = image(tmp_path), put(tmp_path / "here/un.ko", PLAIN)
    link(root / "lib/modules/K2/updates/evil.ko", here)
    link(root / "lib/modules/K2/updates/own.ko", root / "lib/modules/K1/extra/more.ko")
    found, links = walked(root / "lib/modules/K2")
    assert [each.source for each in found][1:] == [str(here), str(root / "lib/modules/K1/extra/more.ko")]
    assert links.outside.count == 3


def test_a_link_cannot_climb_out_of_its_root(tmp_path: Path) -> None:
    root = image(tmp_path)
    put(root / "etc/passwd")
    put(tmp_path / "un.ko")
    put(root / "un.ko")
    link(root / "lib/modules/K2/updates/up.ko", "../../../../../../../../../un.ko")
    found, _ = walked(root / "lib/modules/K2")
    assert [each.source for each in found][1] == str(root / "un.ko")


PARTS = ("a", "b", "c.ko", "..", ".", "l1", "l2")


@settings(max_examples=200, deadline=None)
@given(
    targets=st.lists(
        st.tuples(st.booleans(), st.lists(st.sampled_from(PARTS), min_size=1, max_size=5)),
        min_size=3,
        max_size=3,
    )
)
def test_resolution_from_the_real_root_is_realpath(
    targets: list[tuple[bool, list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any web of links: the same file as the C library finds, or an error where it finds none."""
    base = Path(os.path.realpath(tmp_path_factory.mktemp("web")))
    put(base / "a/b/c.ko")
    put(base / "c.ko")
    for name, (absolute, parts) in zip(("l1", "a/l2", "a/b/l1"), targets, strict=True):
        link(base / name, (f"{base}/" if absolute else "") + "/".join(parts))
    for name in ("l1", "a/l2", "a/b/l1"):
        try:
            expected: str | None = os.path.realpath(base / name, strict=True)
        except OSError:
            expected = None
        try:
            os.stat(base / name)
        except OSError:
            expected = None
        try:
            found: str | None = resolved(str(base / name), "/")
        except OSError:
            found = None
        assert found == expected


# --------------------------------------------------------------------------- the commands


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A signed module, and a link to an unsigned one elsewhere."""
    tree = tmp_path / "modules"
    put(tree / "kernel/amd64-6.1.ko", SIGNED)
    put(tmp_path / "root/un.ko", PLAIN)
    link(tree / "updates/evil.ko", tmp_path / "root/un.ko")
    link(tree / "gone.ko", "nothing.ko")
    link(tree / "weak-updates/amd64-6.1.ko", "../kernel/amd64-6.1.ko")
    return tree


def test_verify_finds_what_a_link_hides(modules: Path, tmp_path: Path) -> None:
    ran = run("verify", modules, "--trust", CERT)
    assert ran.code == 1
    evil = next(line for line in ran.out.splitlines() if "evil.ko" in line)
    assert "unsigned: no trace" in evil and f"{tmp_path}/root/un.ko, which is outside the tree" in evil
    assert len(ran.out.splitlines()) == 2
    assert "1 symbolic link leads outside the tree" in ran.err
    assert f"1 symbolic link not followed: {modules}/gone.ko -> nothing.ko (no such file)" in ran.err
    assert "2 symbolic links to files, 1 of them examined anyway" in ran.err
    left = run("verify", modules, "--trust", CERT, "--no-follow")
    assert left.code == 0 and "3 symbolic links not followed" in left.err


def test_json_has_the_account(modules: Path) -> None:
    for command in ("verify", "list", "audit"):
        words = () if command == "list" else ("--trust", CERT)
        links = parsed(run(command, "--json", modules, *words).out)["links"]
        assert (links["followed"], links["examined_anyway"]) == (1, 1)
        assert [Path(each["path"]).name for each in links["outside"]["first"]] == ["evil.ko"]
        assert [each["why"] for each in links["not_followed"]["first"]] == ["missing"]
    found = {
        Path(each["path"]).name: each
        for each in lines(run("verify", "--jsonl", modules, "--trust", CERT).out)
    }
    assert [each["code"] for each in found["evil.ko"]["warnings"]] == ["link-outside"]
    assert "link-outside" not in [each["code"] for each in found["amd64-6.1.ko"]["warnings"]]


def test_list_has_it(modules: Path) -> None:
    ran = run("list", "--only", "unsigned", modules)
    assert "evil.ko" in ran.out and "leads outside the tree" in ran.err
    sections = run("list", "--sections", modules)
    assert "evil.ko" in sections.out and "leads outside the tree" in sections.err


def test_audit_fails_for_it(modules: Path, tmp_path: Path) -> None:
    words = ("audit", modules, "--trust", CERT, "--ignore", "misnamed", "--json")
    document = parsed(run(*words).out)
    assert [(each["rule"], Path(each["path"]).name) for each in document["audit"]["faults"]] == [
        ("unsigned", "evil.ko")
    ]
    assert parsed(run(*words, "--no-follow").out)["audit"]["passed"]


def test_a_link_under_another_modules_name_is_misnamed(tmp_path: Path) -> None:
    put(tmp_path / "tree/kernel/good.ko", SIGNED)
    link(tmp_path / "tree/kernel/xor.ko", "good.ko")
    ran = run("verify", tmp_path / "tree", "--trust", CERT)
    assert "warning: 1 symbolic link has the name of another module" in ran.err
    document = parsed(run("audit", tmp_path / "tree", "--trust", CERT, "--json").out)
    faults = {Path(each["path"]).name: each for each in document["audit"]["faults"]}
    assert faults["xor.ko"]["rule"] == "misnamed" and "good.ko" in faults["xor.ko"]["text"]


def test_stale_ima_is_looked_up_where_the_link_leads(tmp_path: Path) -> None:
    root = image(tmp_path)
    try:
        os.setxattr(root / "lib/modules/K1/extra/more.ko", "security.ima", b"\x01" + bytes(20))
    except OSError:
        pytest.skip("extended attributes in the name space security need root and a file system with them")
    document = parsed(run("audit", root / "lib/modules/K2", "--trust", CERT, "--json").out)
    assert "stale-ima" in {each["rule"] for each in document["audit"]["faults"]}


def test_the_library_follows_too(modules: Path) -> None:
    reports = {Path(each.path).name: each for each in elfsig.verify_tree(modules, CERT)}
    assert set(reports) == {"amd64-6.1.ko", "evil.ko"}
    assert [each.code for each in reports["evil.ko"].warnings] == ["link-outside"]
    assert len(list(elfsig.verify_tree(modules, CERT, follow_links=False))) == 1
    assert not elfsig.audit(modules, CERT, ignore=["misnamed"]).passed
    assert elfsig.audit(modules, CERT, ignore=["misnamed"], follow_links=False).passed


def test_depmod_sees_the_same_files(tmp_path: Path) -> None:
    """What modules.dep lists is what is examined: depmod follows links to files."""
    tree = tmp_path / "lib/modules/6.1.0"
    put(tree / "kernel/own.ko", PLAIN)
    put(tmp_path / "lib/modules/6.0.0/extra/more.ko", PLAIN)
    link(tree / "weak-updates/more.ko", "../../6.0.0/extra/more.ko")
    link(tree / "build", "../6.0.0")
    done = subprocess.run([need("depmod"), "-n", "-b", tmp_path, "6.1.0"], capture_output=True, text=True)
    seen = {line.split(":")[0] for line in done.stdout.splitlines() if ".ko:" in line}
    assert set(names(walked(tree)[0], tree)) == seen == {"kernel/own.ko", "weak-updates/more.ko"}


# --------------------------------------------------------------------------- editing


def sign(*words: str | Path) -> Ran:
    return run("sign", "--format=pkcs7", *MINE, *words)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", put(tmp_path / "root/un.ko", PLAIN)
    put(tree / "a.ko", PLAIN)
    link(tree / "evil.ko", outside)
    link(tree / "same.ko", "a.ko")
    ran = sign("--in-place", tree)
    assert ran.code == 0 and ran.out.count("signature made") == 1
    assert outside.read_bytes() == PLAIN
    assert (tree / "same.ko").is_symlink() and (tree / "same.ko").read_bytes() != PLAIN
    assert (
        f"1 symbolic link not followed: {tree}/evil.ko -> {outside} (nothing is written through it)"
        in ran.err
    )
    assert "1 symbolic link to files, 1 of them edited anyway" in ran.err
    signed = put(outside, SIGNED).read_bytes()
    stripped = run("strip", "--in-place", tree)
    assert outside.read_bytes() == signed and "not followed" in stripped.err
    converted = run("convert", "--to=pkcs7", *MINE, f"--trust={CERT}", "--output-dir", tmp_path / "out", tree)
    assert "not followed" in converted.err and not (tmp_path / "out/evil.ko").exists()


def test_a_file_that_becomes_a_link_meanwhile_is_not_written(tmp_path: Path) -> None:
    from elfsig.batch.edit import Task, edit_one
    from elfsig.registry import load
    from elfsig.verbs.edit.change import Change

    outside = put(tmp_path / "root/un.ko", PLAIN)
    swapped = link(tmp_path / "tree/a.ko", outside)
    task = Task(str(swapped), None, found=True)
    done = edit_one(task, lambda module: Change(b"other", "signed", ""), load(plugins=False))
    assert done.error is not None and done.error.code == "changed-meanwhile"
    assert outside.read_bytes() == PLAIN


# --------------------------------------------------------------------------- compare


def test_compare_takes_links_under_their_own_names(tmp_path: Path) -> None:
    put(tmp_path / "a/extra/x.ko", PLAIN)
    put(tmp_path / "a/weak-updates/x.ko", PLAIN)
    put(tmp_path / "b/extra/x.ko", PLAIN)
    link(tmp_path / "b/weak-updates/x.ko", "../extra/x.ko")
    ran = run("compare", tmp_path / "a", tmp_path / "b")
    assert (ran.code, ran.out) == (0, "") and "2 files: 2 identical" in ran.err
    assert json.loads(run("compare", "--json", tmp_path / "a", tmp_path / "b").out)
