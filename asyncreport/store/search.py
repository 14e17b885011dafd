"""Search a file of any format for one person. Owns nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asyncreport.core.person import Person, PersonFinder
from asyncreport.formats.contents import UnreadableError, read_blocks
from asyncreport.store.disk_errors import oserror_as_store_error

#: bytes of a block that are searched again with the next one: more than a name or an address has
_OVERLAP = 1 << 12


def holds(path: Path, person: Person) -> bool:
    """Tell whether a file has a person's id, address or name; raise StoreError.

    A file whose content cannot be read may have it.
    """
    finder = PersonFinder(person)
    with oserror_as_store_error(path, "read"):
        try:
            return any(map(finder.occurs_in, _overlapping(read_blocks(path))))
        except UnreadableError:
            return True


def _overlapping(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Put the end of each block in front of the next one."""
    end = b""
    for block in blocks:
        text = end + block
        yield text
        end = text[-_OVERLAP:]
