"""A mistake in one container, or a lack of memory, costs that container and nothing after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import corpus
from elfsig.containers.contract import Container, Context, Member
from elfsig.containers.images.source import Source, mapped
from elfsig.containers.readers import Reader, SeekReader, bytes_reader
from elfsig.containers.registry import BUILTIN, Containers
from elfsig.containers.walk import ContainerRecord, Found, may_be_module, walk
from elfsig.errors import DEBUG, ContainerError
from tests.support.archives import tar
from tests.support.containers import FILE

MODULE = corpus.content("amd64.pkcs7")
FAULTS = [(IndexError("no such"), "internal-error"), (MemoryError(), "out-of-memory")]


def mistaken(bug: Exception, *, late: bool) -> Containers:
    """The containers there are, and one that raises ``bug``; ``late``: when its member is read."""

    def fail() -> bytes:
        raise bug

    def opened(reader: Reader, context: Context) -> Iterator[Member]:
        part = Reader(fail if late else iter([b"x", b""]).__next__)
        yield Member(b"x.ko", reader=part)
        part.finish()
        fail()

    return Containers([*BUILTIN, Container("mistaken", ((0, b"MISTAKEN"),), opened)])


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("bug", "code"), FAULTS)
def test_what_follows_a_container_that_fails_is_read(bug: Exception, code: str, late: bool) -> None:
    data = tar(a_bin=b"MISTAKEN", b_ko=MODULE)
    found = list(walk(bytes_reader(data), FILE, None, may_be_module, mistaken(bug, late=late)))
    errors = {each.kind: each.error for each in found if isinstance(each, ContainerRecord)}
    assert errors["tar"] is None and errors["mistaken"] is not None
    assert errors["mistaken"].code == code
    assert "f!/b.ko" in [each.path for each in found if isinstance(each, Found)]


@pytest.mark.parametrize(("bug", "code"), FAULTS)
def test_reads_at_any_offset_fail_in_the_same_way(bug: Exception, code: str) -> None:
    def fetch(offset: int, size: int) -> bytes:
        raise bug

    reader = SeekReader(fetch, 10)
    with pytest.raises(ContainerError) as caught:
        reader.read_at(3, 2)
    assert (caught.value.code, caught.value.offset) == (code, 3)
    with pytest.raises(ContainerError) as caught:
        reader.take(2)
    assert caught.value.code == code


def test_a_library_without_memory_costs_what_it_read() -> None:
    with pytest.raises(ContainerError) as caught, mapped(Source(bytes_reader(b"")), "it"):
        raise MemoryError
    assert caught.value.code == "out-of-memory"


def test_mistakes_have_a_traceback_when_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEBUG, "1")
    with pytest.raises(KeyError):
        list(walk(bytes_reader(b"MISTAKEN"), FILE, containers=mistaken(KeyError("x"), late=False)))
