"""What a command writes takes the place of nothing that it reads, and of no other result."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest

import corpus
from elfsig.cli.options.files import OutputType, WritingCommand
from elfsig.cli.options.signing import UNUSED
from elfsig.errors import WriteError
from elfsig.manual.pages import all_pages
from elfsig.opened.atomic import write_atomic
from tests.support.cli import elfsig, environment
from tests.support.signed import REGISTRY

KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
KEYED = ("--format=pkcs7", f"--key={KEY}", f"--cert={CERT}")
ONE, TWO = corpus.content("amd64-6.1.ko"), corpus.content("arm64-6.1.ko")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with two modules."""
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "a.ko").write_bytes(ONE)
    (folder / "b.ko").write_bytes(TWO)
    return folder


# --------------------------------------------------------------------------- symbolic links


@pytest.mark.parametrize("command", [("strip",), ("sign", *KEYED)])
def test_a_link_in_the_output_directory_is_replaced_itself(source: Path, command: tuple[str, ...]) -> None:
    out = source.with_name("out")
    out.mkdir()
    (out / "b.ko").symlink_to("../src/a.ko")
    ran = elfsig(*command, source, "--output-dir", out)
    assert ran.code == 0 and (source / "a.ko").read_bytes() == ONE
    assert not (out / "b.ko").is_symlink() and (out / "b.ko").read_bytes().startswith(TWO)


def test_an_output_that_is_a_link_is_replaced_itself(source: Path) -> None:
    other, link = source / "other.ko", source / "link.ko"
    other.write_bytes(TWO)
    link.symlink_to("other.ko")
    assert elfsig("strip", source / "a.ko", "-o", link).code == 0
    assert other.read_bytes() == TWO and link.read_bytes() == ONE and not link.is_symlink()
    link.unlink()
    link.symlink_to("a.ko")
    ran = elfsig("strip", source / "a.ko", "-o", link)
    assert ran.code and link.is_symlink() and (source / "a.ko").read_bytes() == ONE


def test_outputs_that_are_one_file_through_a_linked_directory_are_refused(tmp_path: Path) -> None:
    for name, content in (("x", ONE), ("y", TWO)):
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "m.ko").write_bytes(content)
    out = tmp_path / "out"
    (out / "x").mkdir(parents=True)
    (out / "y").symlink_to("x")
    ran = elfsig("strip", tmp_path / "src", "--output-dir", out)
    assert ran.code == 1 and "its output would overwrite that of" in ran.err
    assert (out / "x/m.ko").read_bytes() == ONE


def test_an_output_directory_that_leads_into_the_input_is_refused(source: Path) -> None:
    (source / "k").mkdir()
    (source / "k/c.ko").write_bytes(ONE)
    out = source.with_name("out")
    out.mkdir()
    (out / "k").symlink_to("../src")
    (source / "c.ko").write_bytes(TWO)
    ran = elfsig("strip", source, "--output-dir", out)
    assert ran.code == 1 and "would overwrite" in ran.err and (source / "c.ko").read_bytes() == TWO


def test_an_output_that_is_another_input_is_refused(source: Path) -> None:
    out = source.with_name("out")
    out.mkdir()
    (out / "a.ko").write_bytes(TWO)
    for dry in (("--dry-run",), ()):
        ran = elfsig("sign", *KEYED, source / "a.ko", out / "a.ko", "--output-dir", out, *dry)
        assert ran.code == 1 and "would overwrite" in ran.err and (out / "a.ko").read_bytes() == TWO


def test_links_to_the_standard_streams_are_never_replaced() -> None:
    with pytest.raises(WriteError, match="not a regular file"):
        write_atomic("/dev/stdout", b"", follow=False)


# --------------------------------------------------------------------------- what must not be overwritten

LAID = {"a.ko": ONE, "k.pem": KEY.read_bytes(), "t.crt": CERT.read_bytes()}

OVERWRITING = (
    "sign --format pkcs7 --key k.pem --cert t.crt a.ko -o k.pem",
    "sign --format pkcs7 --key k.pem --cert t.crt a.ko -o t.crt",
    "sign --format pkcs7 --key k.pem --cert t.crt a.ko -o s.ko --report a.ko",
    "strip a.ko -o a.ko",
    "attach a.ko --from a.ko --trust t.crt -o t.crt",
    "convert a.ko --to pkcs7 --key k.pem --cert t.crt --trust t.crt -o t.crt",
    "audit a.ko --trust t.crt --sarif a.ko",
    "audit . --trust t.crt --junit ./a.ko",
    "audit . --trust t.crt --junit new.ko",
    "audit . --trust t.crt --junit t.crt",
    "audit . --trust . --junit t.crt",
    "audit a.ko --trust t.crt --junit link",
    "audit a.ko --trust builtin:t.crt --junit t.crt",
    "audit a.ko --trust machine:a.ko!/x --junit a.ko",
    "audit b.ko --trust machine:t.crt!/x --junit t.crt",
    "audit --host-root roots/* --trust t.crt --sarif roots/h.txt",
    "survey a.ko --html a.ko",
    "survey . --sarif a.ko",
    "evidence a.ko -o x.tar --html a.ko",
    "evidence a.ko --trust t.crt -o t.crt",
    "coverage a.ko --trust t.crt --svg t.crt",
    "digest a.ko --coverage whole-file -o a.ko",
    "keys recover a.ko a.ko -o a.ko --force",
)


@pytest.mark.parametrize("line", OVERWRITING)
def test_nothing_that_a_command_reads_is_overwritten(line: str, tmp_path: Path) -> None:
    for name, content in LAID.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link").symlink_to("t.crt")
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots/h.txt").write_text("precious")
    ran = elfsig(*line.split(), cwd=tmp_path)
    assert ran.code == 2 and "would overwrite what" in ran.err, ran.err
    assert {name: (tmp_path / name).read_bytes() for name in LAID} == LAID
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted((*LAID, "link", "roots"))
    assert (tmp_path / "roots/h.txt").read_text() == "precious"


@pytest.mark.parametrize(
    "line",
    [
        "audit a.ko --trust t.crt --sarif x --junit ./x",
        "survey a.ko --html x --sarif y",
        "coverage a.ko --svg z --html z",
        "sign --format pkcs7 --key k.pem --cert t.crt a.ko -o x --report x",
        "convert a.ko --to pkcs7 --key k.pem --cert t.crt --trust t.crt -o x --record x",
        "coverage a.ko --svg - --html -",
    ],
)
def test_two_outputs_are_two_files(line: str, tmp_path: Path) -> None:
    for name, content in LAID.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "x").write_bytes(b"{}")
    (tmp_path / "y").hardlink_to(tmp_path / "x")
    ran = elfsig(*line.split(), cwd=tmp_path)
    assert ran.code == 2 and "name the same file" in ran.err, ran.err
    assert (tmp_path / "x").read_bytes() == b"{}"


def test_a_report_is_not_replaced_by_a_module(source: Path) -> None:
    out = source.with_name("out")
    out.mkdir()
    ran = elfsig(
        "sign", *KEYED, source / "a.ko", source / "b.ko", "--output-dir", out, "--report", out / "a.ko"
    )
    assert ran.code == 1 and "would overwrite" in ran.err
    assert (out / "a.ko").read_bytes().startswith(b"{") and (out / "b.ko").read_bytes().startswith(TWO)


@pytest.mark.parametrize("where", ["-o", "--output-dir"])
def test_no_module_is_written_where_the_lines_of_a_run_are_and_then_removed(where: str, source: Path) -> None:
    """It was said to be signed, and was gone when the run ended."""
    module, out = source / "r.partial", source.with_name("out")
    (source / "a.ko").rename(module)
    place = out / "r.partial" if where == "-o" else out
    out.mkdir()
    ran = elfsig("sign", *KEYED, module, where, place, "--report", out / "r")
    assert ran.code == 1 and "would overwrite" in ran.err and "signature made" not in ran.out


@pytest.mark.parametrize("linked", [False, True])
def test_what_is_called_like_a_journal_and_is_none_is_kept(source: Path, linked: bool) -> None:
    notes, partial = source.with_name("notes.txt"), source.with_name("r.json.partial")
    notes.write_text("precious\n")
    if linked:
        partial.symlink_to("notes.txt")
    else:
        notes.rename(partial)
    ran = elfsig("sign", *KEYED, source, "--in-place", "--report", source.with_name("r.json"))
    assert ran.code == 2 and "was not left by an interrupted run" in ran.err
    assert partial.read_text() == "precious\n" and (source / "a.ko").read_bytes() == ONE


@pytest.mark.parametrize("command", ["audit a.ko --trust t.crt", "survey a.ko", "coverage a.ko"])
@pytest.mark.parametrize("place", ["gone/x", "a.ko/x", ".", "/dev/stdout"])
def test_a_place_where_no_report_can_be_written_is_refused_at_once(
    command: str, place: str, tmp_path: Path
) -> None:
    for name, content in LAID.items():
        (tmp_path / name).write_bytes(content)
    option = {"audit": "--junit", "survey": "--sarif", "coverage": "--html"}[command.split()[0]]
    ran = elfsig(*command.split(), option, place, cwd=tmp_path)
    assert ran.code == 2 and f"{option} {place}: " in ran.err and not ran.out, ran


@pytest.mark.parametrize("words", [("audit", "--junit=j", "--sarif=s"), ("survey", "--html=j", "--sarif=s")])
def test_the_results_are_printed_also_where_a_report_cannot_be_written(
    words: tuple[str, ...], source: Path
) -> None:
    command = [sys.executable, "-m", "elfsig", *words, f"--trust={CERT}", "src"]
    done = subprocess.run(
        command, cwd=source.parent, env=environment(), capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (99, 99)),
    )  # fmt: skip
    assert "unsigned" in done.stdout and done.returncode == 1, done
    assert "elfsig: j: not written: " in done.stderr and "elfsig: s: not written: " in done.stderr


def test_the_report_of_an_earlier_run_may_be_in_the_tree(source: Path) -> None:
    for _ in range(2):
        ran = elfsig("audit", source, "--trust", CERT, "--junit", source / "report.xml")
        assert ran.code == 1 and (source / "report.xml").read_bytes().startswith(b"<")


def test_every_command_with_an_output_checks_it() -> None:
    for page in all_pages():
        if any(isinstance(param.type, OutputType) for param in page.command.params):
            assert isinstance(page.command, WritingCommand), page.words


# --------------------------------------------------------------------------- options that change nothing


@pytest.mark.parametrize("verb", ["sign", "convert"])
@pytest.mark.parametrize("option", ["--packet-version=4", "--created=-5", "--key-created=0"])
def test_an_option_that_the_format_has_no_use_for_is_refused(verb: str, option: str, source: Path) -> None:
    how = ("--format=pkcs7",) if verb == "sign" else ("--to=pkcs7", "--to=x509", "--unverified")
    ran = elfsig(verb, *how, *KEYED[1:], option, source / "a.ko", "--dry-run")
    assert ran.code == 2 and f"{option.split('=')[0]} does not apply to pkcs7" in ran.err
    more = ("--force", "--to=crypto-pgp") if verb == "convert" else ("--format=crypto-pgp",)
    valid = option.replace("-5", "5")
    assert elfsig(verb, *how, *more, *KEYED[1:], valid, source / "a.ko", "--dry-run").code == 0


def test_the_envelopes_of_the_table_exist() -> None:
    known = {pair.envelope.id for each in REGISTRY.formats for pair in each.pairs}
    for param, envelopes in UNUSED.items():
        assert envelopes < known and any(option.name == param for option in options())


def options() -> list[click.Parameter]:
    return next(page.command.params for page in all_pages() if page.words == ("sign",))


# --------------------------------------------------------------------------- messages about many files


def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(20):
        (folder / f"m{number:02}.ko").write_bytes(ONE)
    return folder


def test_what_is_true_of_many_files_is_printed_a_few_times_and_counted(tmp_path: Path) -> None:
    folder = many(tmp_path)
    for path in folder.iterdir():
        (tmp_path / f"other-{path.name}").hardlink_to(path)
    ran = elfsig("sign", *KEYED, "-q", folder, "--in-place", "-j1")
    told = [line for line in ran.err.splitlines() if "keep the old content" in line]
    assert ran.code == 0 and len(told) == 4 and told[0].startswith(f"elfsig: {folder}/m00.ko: warning: "), ran
    assert told[3] == "elfsig: and 17 more: warning: 1 other name(s) of this file keep the old content"
    words = ("convert", folder, "--to=x509", *KEYED[1:], "--trust", CERT, "--keep", "--dry-run")
    for form in ((), ("--jsonl",)):
        told = [line for line in elfsig(*words, *form).err.splitlines() if "only at the outermost" in line]
        assert len(told) == 4 and told[3].startswith("elfsig: and 17 more: ")


@pytest.mark.parametrize("place", ["src/a.ko", "src/a.ko/below"])
def test_an_output_directory_that_cannot_be_made_is_refused_at_once(place: str, source: Path) -> None:
    ran = elfsig("strip", source / "b.ko", "--output-dir", source.parent / place)
    assert ran.code == 2 and "a.ko is not a directory" in ran.err and not ran.out
    ran = elfsig("strip", many(source.parent), "--output-dir", "/proc/out")
    assert ran.code == 1 and ran.err.count("cannot make the directory /proc/out: ") == 4
