"""A name server on loopback that gives every name an address of its own: who connects there, meant that name.

Standard library only. The addresses are of the range that is set aside for measurements (RFC 2544), where no route
leads. This host's own names are answered as every hosts(5) does, and are no lookup worth telling.
"""

import ipaddress
import socket
import struct
import threading

PORT = 53
_A, _PTR, _AAAA = 1, 12, 28
_POOL = ipaddress.IPv4Network("198.18.0.0/15")
_REVERSE = (".in-addr.arpa", ".ip6.arpa")


class Names:
    """Answers lookups in a thread; `heard(port, name)` is told of each, `port` being that of the asking socket."""

    def __init__(self, heard):
        self._heard = heard
        self._by_name = {}
        self._by_address = {}
        self._own = socket.gethostname().lower()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", PORT))
        threading.Thread(target=self._serve, daemon=True).start()

    def name_of(self, address):
        """Return the name that was given this address, or None."""
        return self._by_address.get(address)

    def _serve(self):
        while True:
            query, sender = self._socket.recvfrom(4096)
            try:
                answer = self._answer(query, sender[1])
            except (IndexError, struct.error, UnicodeError):
                continue
            self._socket.sendto(answer, sender)

    def _answer(self, query, port):
        number, _, questions = struct.unpack_from("!HHH", query)
        name, end = _question(query)
        kind = struct.unpack_from("!H", query, end)[0]
        data = self._own_data(name, kind)
        if data is None:
            self._heard(port, name)
            data = self._address_of(name).packed if kind == _A else b""
        head = struct.pack("!HHHHHH", number, 0x8180, questions, 1 if data else 0, 0, 0)
        record = struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(data)) + data if data else b""
        return head + query[12 : end + 4] + record

    def _own_data(self, name, kind):
        """Return the data of a name of this host itself (empty: there is none of that kind), None for any other."""
        if name.endswith(_REVERSE):
            return b"\x09localhost\x00" if kind == _PTR and _is_loopback(name) else None
        if name == "localhost" or name.endswith(".localhost") or name.partition(".")[0] == self._own.partition(".")[0]:
            return {_A: b"\x7f\0\0\1", _AAAA: bytes(15) + b"\1"}.get(kind, b"")
        return None

    def _address_of(self, name):
        if name not in self._by_name:
            address = _POOL[1 + len(self._by_name) % (_POOL.num_addresses - 2)]
            self._by_name[name] = address
            self._by_address[str(address)] = name
        return self._by_name[name]


def _is_loopback(name):
    return name.endswith(".127.in-addr.arpa") or name == "1." + "0." * 31 + "ip6.arpa"


def _question(query):
    """Return the name asked for, in lower case, and where its type stands."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "backslashreplace"))
        at += 1 + query[at]
    return ".".join(labels).lower(), at + 1
