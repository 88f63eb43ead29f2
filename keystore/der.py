"""Read and write the little DER that keys, signatures and certificates need, strictly.

Source: ITU-T X.690, clauses 8 and 10.
"""

from __future__ import annotations

from collections.abc import Iterator

from keystore.errors import SignatureError

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
SEQUENCE = 0x30
SET = 0x31
_LENGTH_BYTES = 4


class Reader:
    """Take one element after the other from DER bytes; refuse every form that DER does not allow."""

    def __init__(self, data: bytes, place: str) -> None:
        self._data = data
        self._place = place

    def next_is(self, tag: int) -> bool:
        """Tell whether the next element has this tag."""
        return self._data[:1] == bytes([tag])

    def take(self, tag: int) -> bytes:
        """Return the contents of the next element, which must have this tag."""
        if not self.next_is(tag):
            found = f"0x{self._data[0]:02x}" if self._data else "the end"
            raise self._refuse(f"expected the DER tag 0x{tag:02x}, got {found}")
        start, size = self._length()
        contents = self._data[start : start + size]
        if len(contents) != size:
            raise self._refuse(f"expected {size} bytes of DER contents, got {len(contents)}")
        self._data = self._data[start + size :]
        return contents

    def take_element(self, tag: int) -> bytes:
        """Return the whole next element, tag and length included, which must have this tag."""
        before = self._data
        self.take(tag)
        return before[: len(before) - len(self._data)]

    def elements(self) -> Iterator[bytes]:
        """Yield every element that is left, whole, whatever its tag; a tag of more than one byte is refused."""
        while self._data:
            if self._data[0] & 0x1F == 0x1F:
                raise self._refuse("expected a DER tag of one byte, got a longer one")
            yield self.take_element(self._data[0])

    def take_reader(self, tag: int) -> Reader:
        """Return a reader of the contents of the next element."""
        return Reader(self.take(tag), self._place)

    def take_integer(self) -> int:
        """Return the next element, a positive or zero INTEGER in its shortest form."""
        contents = self.take(INTEGER)
        if not contents or contents[0] & 0x80:
            raise self._refuse("expected a DER integer that is not negative, got a negative or empty one")
        if len(contents) > 1 and contents[0] == 0 and not contents[1] & 0x80:
            raise self._refuse("expected a DER integer in its shortest form, got leading zeros")
        return int.from_bytes(contents, "big")

    def end(self) -> None:
        """Refuse anything that is left."""
        if self._data:
            raise self._refuse(f"expected the end of the DER value, got {len(self._data)} more bytes")

    def _length(self) -> tuple[int, int]:
        first = self._data[1] if len(self._data) > 1 else 0xFF
        if first < 0x80:
            return 2, first
        octets = self._data[2 : 2 + (first & 0x7F)]
        size = int.from_bytes(octets, "big")
        if not 0x81 <= first <= 0x80 + _LENGTH_BYTES or _length(size) != bytes([first]) + octets:
            raise self._refuse("expected a DER length in its shortest form, got another")
        return 2 + len(octets), size

    def _refuse(self, message: str) -> SignatureError:
        return SignatureError(message, place=self._place)


def encode(tag: int, *contents: bytes) -> bytes:
    """Return one element; its contents are under 4 GiB."""
    body = b"".join(contents)
    return bytes([tag]) + _length(len(body)) + body


def encode_integer(value: int) -> bytes:
    """Return a positive or zero integer as an INTEGER in its shortest form."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets
