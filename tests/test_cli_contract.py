"""What holds for every command: help, exit codes, streams, colour, names of any bytes, JSON."""

from __future__ import annotations

import builtins
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest

import corpus
from elfsig import __version__, registry
from elfsig.cli import progress
from elfsig.cli.app import elfsig as group
from elfsig.cli.app import globals_first
from elfsig.cli.command_table import COMMANDS
from elfsig.cli.settings import Settings, visible
from elfsig.verbs.verify.examine import examine
from tests.support.cli import environment
from tests.support.run import run
from tests.support.schema import lines, parsed, validate

SIGNER = corpus.KEYS / "signer.cert.pem"
NAME = b"THROW-AWAY test key signer"

HEAVY = ("lief", "elftools", "numpy", "pyasn1", "cryptography.x509", "importlib.metadata", "email", "json")


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    path = tmp_path / "signed.ko"
    path.write_bytes(corpus.content("amd64.pkcs7"))
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Enough modules to fill any pipe."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for number in range(700):
        os.link(_one(tmp_path), folder / f"{'x' * 100}{number:03}.ko")
    return folder


def _one(folder: Path) -> Path:
    path = folder / "one"
    if not path.exists():
        path.write_bytes(corpus.content("amd64.pkcs7"))
    return path


def commands(found: click.Command = group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command and sub-command."""
    yield words
    if isinstance(found, click.Group):
        context = click.Context(found)
        for name in found.list_commands(context):
            command = found.get_command(context, name)
            assert command is not None, name
            yield from commands(command, (*words, name))


def python(code: str) -> str:
    """What ``code`` prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


# --------------------------------------------------------------------------- help and start-up


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    ran = run(*words, "--help")
    if words == ("sign-file",):
        assert ran.code in (0, 2)
        return
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"Usage: elfsig {' '.join(words)}".rstrip())


def test_help_lists_every_command_with_its_line_and_the_exit_codes() -> None:
    shown = " ".join(run("--help").out.split())
    for name, row in COMMANDS.items():
        assert f" {name} {row.help}" in shown
    assert "Exit codes: 0 valid" in shown


def test_help_imports_no_command_and_list_nothing_heavy(signed: Path) -> None:
    loaded = "print(*sorted(sys.modules))"
    started = f"import sys, elfsig.cli\ntry: elfsig.cli.main({{}})\nexcept SystemExit: pass\n{loaded}"
    after_help = python(started.format("['--help']")).split()
    assert not {f"elfsig.cli.commands.{row.module}" for row in COMMANDS.values()} & set(after_help)
    assert not {"elfsig.verbs", "elfsig_formats", "cryptography", "hashlib"} & set(after_help)
    after_list = python(started.format(f"['--no-plugins', 'list', {str(signed)!r}]")).split()
    assert not set(HEAVY) & set(after_list)


def test_version() -> None:
    assert run("--version").out == f"elfsig {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [["nonesuch"], ["list"], ["list", "--nonesuch"], ["verify", "x", "--jobs", "many"],
     ["--color", "red", "list"], ["list", "--json", "--jsonl", "x"], ["verify", "x", "--require", "none"]],
    ids=" ".join,
)  # fmt: skip
def test_usage_errors_end_with_2_and_say_why(words: list[str]) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.strip() and "Traceback" not in ran.err


# --------------------------------------------------------------------------- how runs end


@pytest.mark.parametrize(
    "words", [["list"], ["verify"], ["show"], ["list", "--json"], ["verify", "--jsonl"]], ids=" ".join
)
def test_a_closed_pipe_ends_a_run_quietly(words: list[str], tree: Path) -> None:
    command = [sys.executable, "-m", "elfsig", "--no-plugins", *words, str(tree)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 141  # 128 + SIGPIPE
    assert said == b""


def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "elfsig", "formats"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
        )
    assert (done.returncode, done.stderr) == (5, b"elfsig: no space left on device\n")


@pytest.mark.parametrize(
    ("reason", "code", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (RuntimeError("boom"), 70, "elfsig: internal error, please report it"),
        (PermissionError(13, "Permission denied", "some/file"), 5, "elfsig: some/file: permission denied"),
    ],
)
def test_no_trace_whatever_happens(
    reason: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise reason

    monkeypatch.setattr("elfsig.cli.commands.formats.formats_object", fail)
    ran = run("formats", "--json")
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith(said) and len(ran.err.splitlines()) == bool(said)


def test_an_internal_error_at_one_file_does_not_hide_the_others(
    signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tmp_path / "plain.ko"
    plain.write_bytes(corpus.content("amd64-6.1.ko"))

    def fragile(module: Any, *more: Any) -> Any:
        if module.path == str(signed):
            raise RuntimeError("boom")
        return examine(module, *more)

    monkeypatch.setattr("elfsig.batch.tree.examine", fragile)
    ran = run("verify", signed, plain, "--jsonl")
    broken, good = lines(ran.out)
    assert (broken["verdict"], broken["error"]["code"], good["verdict"]) == (
        None,
        "internal-error",
        "unsigned",
    )
    monkeypatch.setenv("ELFSIG_DEBUG", "1")
    with pytest.raises(RuntimeError, match="boom"):
        run("verify", signed)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["list", "{}", "{good}"], 5),
        (["show", "{}", "{good}"], 5),
        (["verify", "{}", "{good}"], 5),
        (["digest", "{}"], 5),
        (["coverage", "{}"], 5),
        (["compare", "{good}", "{}"], 5),
        (["keys", "match", "{}", str(SIGNER)], 5),
        (["strip", "{}", "{good}", "--dry-run"], 5),
        (["attach", "{good}", "--from", "{}", "-o", "{out}"], 5),
        (["verify", "{good}", "--trust", "{}"], 2),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_file_that_may_not_be_read_is_told_apart_from_wrong_usage(
    words: list[str], code: int, signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.ko"
    secret.write_bytes(signed.read_bytes())
    for module in (os, io, builtins):
        monkeypatch.setattr(module, "open", _guarded(module.open, str(secret)))
    monkeypatch.setattr(os, "access", lambda path, *more, **named: os.fspath(path) != str(secret))
    ran = run(*(word.format(secret, good=signed, out=tmp_path / "out") for word in words))
    assert ran.code == code
    assert f"{secret}: permission denied\n" in ran.err
    assert "{good}" not in words[2:] or str(signed) in ran.out


def _guarded(opened: Callable[..., Any], secret: str) -> Callable[..., Any]:
    """``opened``, for somebody who may not read the file ``secret``; root may read all."""

    def guarded(path: Any, *more: Any, **named: Any) -> Any:
        if not isinstance(path, int) and os.fspath(path) == secret:
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *more, **named)

    return guarded


# --------------------------------------------------------------------------- options for all


def test_global_options_may_stand_anywhere() -> None:
    assert globals_first(["list", "--no-plugins", "x", "--color", "never"]) == [
        "--no-plugins", "--color", "never", "list", "x",
    ]  # fmt: skip
    assert globals_first(["list", "--color=always", "--", "--no-plugins"]) == [
        "--color=always", "list", "--", "--no-plugins",
    ]  # fmt: skip
    assert globals_first(["list", "--color"]) == ["--color", "list"]


@pytest.mark.parametrize(
    ("options", "env", "painted"),
    [
        ([], {}, False),
        (["--color", "always"], {}, True),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["--color=never"], {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour(options: list[str], env: dict[str, str], painted: bool, signed: Path) -> None:
    clean: dict[str, str | None] = {"NO_COLOR": None, "FORCE_COLOR": None, **env}
    ran = run("verify", signed, "--trust", SIGNER, *options, env=clean)
    assert ("\x1b[32mvalid\x1b[0m: " in ran.out) is painted
    assert ("\x1b" in ran.out) is painted


def test_a_terminal_gets_colour_and_a_pipe_beside_it_does_not(signed: Path) -> None:
    primary, secondary = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "elfsig", "verify", str(signed), str(signed)],
            stdout=secondary,
            stderr=subprocess.PIPE,
            env={k: v for k, v in environment().items() if k not in ("NO_COLOR", "FORCE_COLOR")},
        )
        shown = os.read(primary, 1 << 16)
    finally:
        os.close(primary)
        os.close(secondary)
    assert b"\x1b[33munchecked\x1b[0m" in shown and b"\x1b" not in done.stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_only_and_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    monkeypatch.setattr(progress, "PACE", -1.0)
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        assert list(progress.watched(range(3))) == [0, 1, 2]
        assert ("3 files" in stream.getvalue()) is shown
        assert stream.getvalue().endswith(progress.ERASE) is shown


def test_a_plugin_that_fails_is_one_line_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = registry.PluginFailure("broken (no.such:module)", "ModuleNotFoundError: no\nmodule")
    loaded = registry.Registry(registry.load(plugins=False).formats, [failure])
    monkeypatch.setattr(registry, "load", lambda plugins=True: loaded if plugins else None)
    assert Settings().registry is loaded is Settings().registry
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "elfsig: warning: format plug-in broken (no.such:module) was not loaded: "
        "ModuleNotFoundError: no\\nmodule\n"
    )


# --------------------------------------------------------------------------- names of any bytes


def test_a_name_that_is_no_utf_8_is_escaped_and_exact_in_json(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\x1b[31m.ko"
    with open(path, "wb") as stream:
        stream.write(corpus.content("amd64.pkcs7"))
    command: list[str | bytes] = [sys.executable, "-m", "elfsig", "verify", os.fsencode(tmp_path)]
    done = subprocess.run(command, capture_output=True, env=environment({"PYTHONUTF8": "1"}))
    assert b"/\\xff\\x1b[31m.ko: unchecked: " in done.stdout
    assert done.stderr == b"elfsig: 1 file: 1 unchecked\n"
    shown = subprocess.run([*command, "--json"], capture_output=True, env=environment()).stdout
    [file] = parsed(shown.decode("ascii"))["files"]
    assert bytes.fromhex(file["path_hex"]) == path
    assert file["path"] == path.decode("utf-8", "backslashreplace")


def test_control_characters_of_a_signer_never_reach_the_terminal(tmp_path: Path) -> None:
    hostile = b"\x1b[2J\r\nsig_id: valid\x07\xff" + b"x" * 5
    path = tmp_path / "hostile.ko"
    path.write_bytes(corpus.content("el7.x509").replace(NAME, hostile))
    assert len(hostile) == len(NAME) and path.read_bytes() != corpus.content("el7.x509")
    for words in (["list"], ["list", "-H"], ["show"], ["show", "-F", "signer"], ["verify"]):
        ran = run(*words, path)
        assert "\\x1b[2J\\r\\nsig_id: valid\\x07\\xff" in ran.out
        assert not [c for c in ran.out + ran.err if not c.isprintable() and c not in "\n\t"]
    [file] = lines(run("verify", "--jsonl", path).out)
    assert "\x1b[2J\r\nsig_id: valid\x07" in file["signatures"][0]["signer"]


def test_visible() -> None:
    assert visible("plain é") == "plain é"
    assert visible("a\x1b\n\x85\u202e\udcff") == "a\\x1b\\n\\x85\\u202e\\xff"


def test_an_odd_locale_does_not_stop_a_run(tmp_path: Path) -> None:
    path = tmp_path / "日本.ko"
    path.write_bytes(corpus.content("amd64.pkcs7"))
    odd = environment({"PYTHONIOENCODING": "ascii:strict"})
    done = subprocess.run(
        [sys.executable, "-m", "elfsig", "list", "-H", str(path)], capture_output=True, env=odd
    )
    assert done.returncode == 0 and done.stderr == b""
    assert b"\\u65e5\\u672c.ko: [ -]" in done.stdout


# --------------------------------------------------------------------------- JSON


def test_the_schema_is_printed_and_is_a_schema() -> None:
    schema = json.loads(run("schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_schema_can_fail(signed: Path) -> None:
    document = parsed(run("verify", "--json", signed).out)
    spoil: list[Callable[[dict[str, Any]], Any]] = [
        lambda file: file.update(verdict="good"),
        lambda file: file.update(sha256="ABC"),
        lambda file: file.pop("signatures"),
        lambda file: file.update(extra=1),
        lambda file: file["signatures"][0].update(key_id="0"),
        lambda file: file["signatures"][0]["carrier"].update(offset=-1),
        lambda file: file.update(verdict=None),
    ]
    for change in spoil:
        damaged = json.loads(json.dumps(document))
        change(damaged["files"][0])
        with pytest.raises(jsonschema.ValidationError):
            validate(damaged)


def test_documents_record_the_run(signed: Path) -> None:
    ran = parsed(run("list", "--json", signed, "--no-plugins").out)["run"]
    assert ran["argv"] == ["list", "--json", str(signed), "--no-plugins"]
    assert (ran["tool"], ran["version"]) == ("elfsig", __version__)
    assert ran["time"].endswith("Z")


def test_reproducible_documents_are_the_same_twice(signed: Path) -> None:
    first, second = (
        run("verify", "--json", "--reproducible", signed, *more).out for more in ([], ["-j", "1"])
    )
    assert first == second
    assert parsed(first)["run"] == {"tool": "elfsig", "version": None, "time": None, "argv": None}


def test_documents_have_sorted_keys_and_are_ascii(signed: Path) -> None:
    text = run("verify", "--json", signed, "--trust", SIGNER).out
    assert text.isascii()
    assert json.dumps(json.loads(text), sort_keys=True) == json.dumps(json.loads(text))


def test_an_empty_tree_is_still_a_document(tmp_path: Path) -> None:
    ran = run("verify", "--json", tmp_path)
    assert ran.code == 5
    [file] = parsed(ran.out)["files"]
    assert file["error"]["code"] == "nothing-found"


def test_formats_in_both_forms() -> None:
    known = registry.load(plugins=False).formats
    document = parsed(run("formats", "--json", "--no-plugins").out)
    assert [each["id"] for each in document["formats"]] == [each.id for each in known]
    assert all(each["builtin"] for each in document["formats"]) and document["plugin_failures"] == []
    shown = run("formats", "--no-plugins").out
    for each in known:
        assert each.id in shown and each.basis_text in shown
