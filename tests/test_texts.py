"""Text is for people: the library's texts name no command-line option, and no decision rests on a text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from elfsig.coverages.catalogue import COVERAGES
from elfsig.kernels.responses import RESPONSES, complete
from elfsig.model import Remark
from elfsig_formats import BUILTIN

CHECKOUT = Path(__file__).resolve().parent.parent
FRONT = ("elfsig/cli/", "elfsig/manual/")
LIBRARY = {
    path.relative_to(CHECKOUT).as_posix(): path
    for root in ("elfsig", "formats/elfsig_formats")
    for path in sorted((CHECKOUT / root).rglob("*.py"))
    if not path.relative_to(CHECKOUT).as_posix().startswith(FRONT)
}

TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in LIBRARY.items()}
FRONT_TREES = {
    path.relative_to(CHECKOUT).as_posix(): ast.parse(path.read_text("utf-8"))
    for path in sorted((CHECKOUT / "elfsig" / "cli").rglob("*.py"))
}

OPTION = re.compile(r"(?<![\w*-])--[a-z]|(?<!\S)-o FILE")

COMMANDS = {
    "elfsig/host/commands.py": "commands that are to be pasted",
    "elfsig/host/databases.py": "arguments of rpm",
    "elfsig/host/dkms_texts.py": "the hook that DKMS runs",
    "elfsig/host/firmware.py": "options of mokutil that were used",
    "elfsig/host/machine.py": "options of mokutil that were used",
    "elfsig/host/next_step.py": "the command that is to be typed next",
    "elfsig/host/package.py": "commands of package managers",
    "elfsig/kernels/advice.py": "commands for people in front of a machine",
    "elfsig/signers/gpg.py": "arguments of gpg",
    "elfsig/recognition/magics.py": "commands of gpg and keytool",
    "elfsig/trust/openpgp.py": "a command of gpg",
}
"""Files whose texts hold whole command lines, and what for."""

MESSAGE = ("text", "reason")
NOT_MESSAGES = {
    ("elfsig/carriers/remains.py", "mark.text"): "bytes of a mark",
    ("elfsig/cli/options/cage.py", "result.text"): "the lines that a child process prints",
    ("elfsig/cli/commands/keys/generate.py", "config.text"): "the content of a kernel's .config",
    ("elfsig/compression/whole.py", "str(why)"): "what zstandard says, which has no codes",
    ("elfsig/signers/gpg.py", "answer.text"): "what gpg prints, which has no other form",
}
"""Attributes of these names that hold something else than a message of elfsig."""


def strings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Every string in code, parts of f-strings included, docstrings left out."""
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node


def named_options(tree: ast.AST) -> list[str]:
    return [text for node in strings(tree) if OPTION.search(text := str(node.value))]


def caught(tree: ast.AST) -> set[str]:
    """Names of caught exceptions."""
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}


def is_message(node: ast.expr, exceptions: set[str]) -> bool:
    """Whether this is the text of an error, a remark or an outcome."""
    if isinstance(node, ast.Attribute):
        return node.attr in MESSAGE
    if isinstance(node, ast.BoolOp):
        return any(is_message(each, exceptions) for each in node.values)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in ("lower", "upper", "strip") and is_message(node.func.value, exceptions)
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str"
    return called and any(isinstance(a, ast.Name) and a.id in exceptions for a in node.args)  # type: ignore[attr-defined]


def from_messages(tree: ast.AST) -> set[str]:
    """Names of comprehensions that go through the words of remarks."""
    return {
        node.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.comprehension)
        and isinstance(node.target, ast.Name)
        and isinstance(node.iter, ast.Call)
        and ast.unparse(node.iter.func) == "remark_words"
    }


def read_texts(tree: ast.AST) -> Iterator[ast.expr]:
    """Messages that are compared with something, or searched."""
    exceptions, words = caught(tree), from_messages(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if not any(isinstance(side, ast.Constant) and side.value is None for side in sides):
                yield from (side for side in sides if is_message(side, exceptions))
                yield from (side for side in sides if isinstance(side, ast.Name) and side.id in words)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re."):
            yield from (each for each in node.args if is_message(each, exceptions))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            searching = node.func.attr in ("startswith", "endswith", "find", "index", "partition", "split")
            if searching and is_message(node.func.value, exceptions):
                yield node.func.value


@pytest.mark.parametrize("name", LIBRARY)
def test_no_text_names_an_option(name: str) -> None:
    found = named_options(TREES[name])
    if name in COMMANDS:
        assert found, f"{name} needs no exception"
    else:
        assert not found


@pytest.mark.parametrize("name", [*LIBRARY, *FRONT_TREES])
def test_no_decision_rests_on_a_text(name: str) -> None:
    found = {
        ast.unparse(node).removesuffix(".lower()") for node in read_texts({**TREES, **FRONT_TREES}[name])
    }
    assert {text for text in found if (name, text) not in NOT_MESSAGES} == set()


@pytest.mark.parametrize(
    "code",
    [
        "if fault.text == 'x': pass",
        "if 'signedData' in fault.text: pass",
        "if outcome.reason.startswith('x'): pass",
        "if fault.text.lower() != x: pass",
        "try:\n    f()\nexcept E as e:\n    g('x' in str(e))",
        "re.search('x', fault.text)",
        "if section in (sig.reason or ''): pass",
        "notes = [text for text in remark_words(remarks) if text not in sentence]",
    ],
)
def test_the_check_sees_what_it_should(code: str) -> None:
    assert list(read_texts(ast.parse(code)))


def test_the_check_of_options_sees_what_it_should() -> None:
    tree = ast.parse('"""--doc"""\nraise E(f"{x}; --force goes on")\nf("use -o FILE")\nf("6.1.0-*-amd64--x")')
    assert len(named_options(tree)) == 2


def test_every_hint_of_the_library_is_known_to_the_command_line() -> None:
    from elfsig.cli.hints import HINTS
    from elfsig.recognition import kinds as recognition

    given = {
        keyword.value.value
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "hint" and isinstance(keyword.value, ast.Constant)
    }
    given |= {hint for hints in recognition.HINTS.values() for hint in hints.values()}
    assert given == set(HINTS)


# --------------------------------------------------------------------------- what formats are


def ids() -> set[str]:
    """The ids of the built-in formats and of their parts. ``openpgp`` is also a kind of key id, and a public
    form; ``note`` is also a kind of place."""
    found = {each.id for each in BUILTIN} | set(COVERAGES)
    for each in BUILTIN:
        found |= {carrier.id for carrier in (each.carrier, *each.also)}
        found |= {part.id for pair in each.pairs for part in (pair.coverage, pair.envelope)}
    return found - {"openpgp", "note"}


OTHER_WORDS = re.compile(r"\.walk (==|!=) 'cms'|kind == 'merkle'|rules == 'redhat'")
"""Kinds of walks, of key ids and of checks that are called like a format or an envelope."""


def compared_ids(tree: ast.AST) -> list[str]:
    """Ids that are compared with something in an expression."""
    known = ids()
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
        for each in ast.walk(side)
        if isinstance(each, ast.Constant) and each.value in known
    ]


@pytest.mark.parametrize("name", [name for name in (*LIBRARY, *FRONT_TREES) if name.startswith("elfsig/")])
def test_no_code_asks_which_built_in_format_it_has(name: str) -> None:
    """What distinguishes formats is said by members of the format, its carrier, coverage or envelope."""
    found = compared_ids({**TREES, **FRONT_TREES}[name])
    assert [text for text in found if not OTHER_WORDS.search(text)] == []


@pytest.mark.parametrize(
    "code", ["if format_.id != 'pkcs7': pass", "x = [c for c in y if c in ('sorted', 1)]"]
)
def test_the_check_of_ids_sees_what_it_should(code: str) -> None:
    assert compared_ids(ast.parse(code))


# --------------------------------------------------------------------------- what kernels do

BELOW_KERNELS = (
    "elfsig/carriers/",
    "elfsig/envelopes/",
    "elfsig/coverages/",
    "elfsig/crypto/",
    "elfsig/opened/",
)
DOES = re.compile(r"\bkernels?\b[^;:]*\b(answer|reject|refuse|treat|ignore|do not look|E[A-Z]{4,})")
"""A statement on what kernels do about something."""

ABOUT_KERNELS = {"heap-dependent-kernels", "kernel-hashes-more"}
"""Remarks of coverages that are about nothing but how kernels compute them."""


def remarks_and_errors(tree: ast.AST) -> Iterator[str]:
    """The texts that are given to a remark or a ParseError as they are made."""
    for node in ast.walk(tree):
        named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if named and node.func.id in ("Remark", "ParseError"):  # type: ignore[attr-defined]
            yield from (str(each.value) for each in strings(node))


@pytest.mark.parametrize("name", [name for name in LIBRARY if name.startswith(BELOW_KERNELS)])
def test_what_kernels_do_is_said_in_their_table_alone(name: str) -> None:
    assert not [text for text in remarks_and_errors(TREES[name]) if DOES.search(text)]
    assert not [
        text
        for node in strings(TREES[name])
        if re.search(r"kernels? (answer|reject)", text := str(node.value))
    ]


def test_every_response_is_to_a_remark_that_is_made() -> None:
    made = {
        str(node.value)
        for name, tree in TREES.items()
        if name != "elfsig/kernels/responses.py"
        for node in strings(tree)
    }
    codes = {code.rpartition("/")[2] for code in RESPONSES}
    assert codes <= made
    assert not codes & ABOUT_KERNELS


def test_a_response_is_joined_to_the_remark_and_no_other() -> None:
    joined = complete(Remark("trailer-length", "does not fit", 7))
    assert joined == Remark("trailer-length", "does not fit; kernels reject it with EBADMSG", 7)
    assert complete(Remark("weak-hash", "SHA-1")) == Remark("weak-hash", "SHA-1")
    damaged = Remark("malformed", "not a SEQUENCE")
    assert complete(damaged) == damaged
    assert complete(damaged, "cms").text == "not a SEQUENCE; kernels reject it with EBADMSG"
    assert complete(damaged, unsigned=True).text == "not a SEQUENCE; the kernel treats it as unsigned"
