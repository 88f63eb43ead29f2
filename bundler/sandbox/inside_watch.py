"""Watch where the processes of a service try to connect, and let each try go on as it would. Standard library only.

A seccomp filter, inherited by every child, hands connect, sendto, sendmsg and sendmmsg to this process before they
happen. It reads the address, notes what is not on loopback and lets the kernel answer, as a host without network does.
Source: seccomp(2), seccomp_unotify(2).
"""

import collections
import contextlib
import ctypes
import errno
import fcntl
import ipaddress
import os
import platform
import queue
import select
import socket
import struct
import threading

from inside_names import PORT as DNS_PORT
from inside_names import Names

# The numbers of seccomp, connect, sendto, sendmsg, sendmmsg, and the architecture that a filter sees (linux/audit.h).
_NUMBERS = {
    "x86_64": (317, 42, 44, 46, 307, 0xC000003E),
    "aarch64": (277, 203, 206, 211, 269, 0xC00000B7),
}
_IO_URING_SETUP, _PIDFD_OPEN, _PIDFD_GETFD = 425, 434, 438
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _NOTIFY, _NO_SUCH_CALL = 0x7FFF0000, 0x7FC00000, 0x00050000 | errno.ENOSYS
_SET_FILTER, _NEW_LISTENER, _CONTINUE = 1, 8, 1
_RECV, _SEND, _ID_VALID = 0xC0502100, 0xC0182101, 0x40082102
_NOTICE, _REPLY = "=QIIiIQ6Q", "=QqiI"
_KINDS = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp", socket.SOCK_RAW: "raw"}
_LONGEST_ADDRESS, _MOST_MESSAGES, _LONGEST_COMMAND = 128, 1024, 300
# ld.so(8): options with a value of the loader that starts a relocated Python.
_WITH_VALUE = ("--argv0", "--library-path", "--preload", "--audit")
_LIBC = ctypes.CDLL(None, use_errno=True)

Attempt = collections.namedtuple("Attempt", "service process protocol destination")


class Unwatchable(Exception):  # noqa: N818 (a state of this host)
    """This kernel does not let us watch."""


class Watch:
    """Starts services under a filter of their own and notes what their processes try to reach."""

    def __init__(self):
        if platform.machine() not in _NUMBERS:
            raise Unwatchable(f"the machine {platform.machine()} is not known")
        # In order of appearance, each once.
        self._attempts = {}
        self._askers = {}
        self._threads = []
        self._broken = None
        self._in_thread(_try)
        self._names = Names(self._looked_up)

    def launch(self, service, start):
        """Return what `start` returns; whatever it starts is watched as part of `service`.

        Raises:
            Unwatchable; and what `start` raises.
        """
        handed = queue.SimpleQueue()
        # Started from here: under the filter it would hold on to it, and the listener would never hang up.
        watching = threading.Thread(target=self._watch, args=(service, handed), daemon=True)
        watching.start()
        self._threads.append(watching)
        return self._in_thread(self._launch, handed, start)

    def _in_thread(self, work, *words):
        """Work in a thread of its own: a filter is put on that one alone, the others stay free."""
        box = []

        def run():
            try:
                box.append((work(*words), None))
            except (OSError, Unwatchable) as error:
                box.append((None, error))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        result, error = box[0]
        if error is not None:
            raise error
        return result

    def _launch(self, handed, start):
        handed.put(_listen())
        return start()

    def finish(self, timeout_s):
        """Wait until the last process of every service ended; return the attempts, in order.

        Raises:
            Unwatchable: the kernel did not keep its word.
        """
        for thread in self._threads:
            thread.join(timeout_s)
        if self._broken:
            raise Unwatchable(self._broken)
        attempts = list(self._attempts)
        reached = {(one.service, one.destination.rpartition(":")[0]) for one in attempts}
        # A lookup that led to a connection says nothing more.
        return [one for one in attempts if one.protocol != "dns" or (one.service, one.destination) not in reached]

    def _watch(self, service, handed):
        listener, poll = handed.get(), select.poll()
        poll.register(listener, select.POLLIN)
        try:
            # When the last process under the filter ended, the listener hangs up.
            while poll.poll()[0][1] & select.POLLIN:
                self._handle(service, listener)
        except OSError as error:
            self._broken = f"a call cannot be handled: {error.strerror}"
        finally:
            os.close(listener)

    def _handle(self, service, listener):
        notice = bytearray(struct.calcsize(_NOTICE))
        try:
            fcntl.ioctl(listener, _RECV, notice)
        except (FileNotFoundError, InterruptedError):
            return
        number, pid, _, call, _, _, *words = struct.unpack(_NOTICE, notice)
        # Its process is gone, or it names memory that is not there: nothing is reached then.
        with contextlib.suppress(OSError, OverflowError, struct.error, ValueError):
            found = [_destination(address) for address in _addresses(pid, call, words)]
            if _is_waiting(listener, number):
                self._note(service, pid, words[0] & 0xFFFFFFFF, filter(None, found))
        with contextlib.suppress(FileNotFoundError):
            fcntl.ioctl(listener, _SEND, struct.pack(_REPLY, number, 0, 0, _CONTINUE))

    def _note(self, service, pid, fd, destinations):
        for host, port in destinations:
            if not (host.is_loopback or host.is_unspecified):
                name = self._names.name_of(str(host)) or (f"[{host}]" if host.version == 6 else str(host))
                self._add(Attempt(service, _command_of(pid), _kind(pid, fd), f"{name}:{port}"))
            elif port == DNS_PORT:
                self._askers[_inode(pid, fd)] = (service, _command_of(pid))

    def _looked_up(self, port, name):
        asker = self._askers.get(_inode_of_port(port))
        if asker is not None:
            self._add(Attempt(*asker, "dns", name))

    def _add(self, attempt):
        self._attempts[attempt] = None


class Unwatched:
    """Starts services where nothing can be watched."""

    def launch(self, service, start):
        """Return what `start` returns."""
        return start()

    def finish(self, timeout_s):
        """Return None: nothing is known."""
        return


def _try():
    """Put a filter on this thread, which ends with it."""
    os.close(_listen())


def _listen():
    """Put the filter on this thread; return the descriptor at which its calls arrive."""
    program = ctypes.create_string_buffer(_filter())
    # struct sock_fprog: how many steps of eight bytes, and where they stand.
    given = ctypes.create_string_buffer(struct.pack("HxxxxxxP", (len(program) - 1) // 8, ctypes.addressof(program)))
    listener = _LIBC.syscall(_NUMBERS[platform.machine()][0], _SET_FILTER, _NEW_LISTENER, given)
    if listener < 0:
        raise Unwatchable(f"seccomp: {os.strerror(ctypes.get_errno())}")
    return listener


def _filter():
    """Return the program (bpf(4)) that picks the calls that carry an address; `struct seccomp_data` is its input."""
    _, connect, sendto, sendmsg, sendmmsg, architecture = _NUMBERS[platform.machine()]
    allow, notify, refuse = 12, 13, 14
    steps = [
        (_LOAD, 4),
        (_EQUAL, architecture, 2, allow),
        (_LOAD, 0),
        (_EQUAL, connect, notify, 4),
        (_EQUAL, sendmsg, notify, 5),
        (_EQUAL, sendmmsg, notify, 6),
        # io_uring would connect past the filter; programs do without it.
        (_EQUAL, _IO_URING_SETUP, refuse, 7),
        (_EQUAL, sendto, 8, allow),
        # The fifth word of sendto, in two halves: no address, no notice.
        (_LOAD, 48),
        (_EQUAL, 0, 10, notify),
        (_LOAD, 52),
        (_EQUAL, 0, allow, notify),
        (_RETURN, _ALLOW),
        (_RETURN, _NOTIFY),
        (_RETURN, _NO_SUCH_CALL),
    ]
    program = b""
    for index, (code, value, *targets) in enumerate(steps):
        yes, no = (target - index - 1 for target in targets or (index + 1, index + 1))
        program += struct.pack("HBBI", code, yes, no, value)
    return program


def _is_waiting(listener, number):
    """Say whether the call is still there: else what was read may be of another process with its number."""
    try:
        fcntl.ioctl(listener, _ID_VALID, struct.pack("Q", number))
    except OSError:
        return False
    return True


def _addresses(pid, call, words):
    """Yield the addresses that a call names, as they stand in the memory of its process."""
    _, connect, sendto, _, sendmmsg, _ = _NUMBERS[platform.machine()]
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        if call in (connect, sendto):
            where, size = words[1:3] if call == connect else words[4:6]
            yield os.pread(memory, min(size, _LONGEST_ADDRESS), where)
            return
        count, step = (min(words[2], _MOST_MESSAGES), 64) if call == sendmmsg else (1, 56)
        for index in range(count):
            where, size = struct.unpack("QI", os.pread(memory, 12, words[1] + index * step))
            if where:
                yield os.pread(memory, min(size, _LONGEST_ADDRESS), where)
    finally:
        os.close(memory)


def _destination(address):
    """Return (IP address, port) of a socket address, None for one of another family."""
    try:
        family, port = struct.unpack_from("=H", address)[0], struct.unpack_from("!H", address, 2)[0]
        if family == socket.AF_INET:
            return ipaddress.IPv4Address(address[4:8]), port
        if family == socket.AF_INET6:
            host = ipaddress.IPv6Address(address[8:24])
            return host.ipv4_mapped or host, port
    except (struct.error, ValueError):
        pass
    return None


def _kind(pid, fd):
    """Return what kind of socket a process has at `fd`."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        leader = next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))
    opened = _LIBC.syscall(_PIDFD_OPEN, leader, 0)
    if opened < 0:
        return "ip"
    try:
        taken = _LIBC.syscall(_PIDFD_GETFD, opened, fd, 0)
    finally:
        os.close(opened)
    if taken < 0:
        return "ip"
    with socket.socket(fileno=taken) as copy:
        return _KINDS.get(copy.type, "ip")


def _inode(pid, fd):
    """Return the inode of a socket, in brackets as /proc shows it."""
    return os.readlink(f"/proc/{pid}/fd/{fd}").removeprefix("socket:").strip("[]")


def _inode_of_port(port):
    """Return the inode of the UDP socket at a local port."""
    for path in ("/proc/net/udp", "/proc/net/udp6"):
        with open(path, encoding="ascii") as table:
            for line in table:
                words = line.split()
                if words[1].endswith(f":{port:04X}"):
                    return words[9]
    return None


def _command_of(pid):
    """Return a command line as its author wrote it: without the loader that starts a relocated Python."""
    with open(f"/proc/{pid}/cmdline", "rb") as stream:
        words = stream.read(64 * 1024).decode("utf-8", "replace").rstrip("\0").split("\0")
    if os.path.basename(words[0]).startswith("ld-"):
        rest = iter(words[1:])
        program = next((word for word in rest if not _skips(word, rest)), words[0])
        words = [program.removesuffix(".real"), *rest]
    text = " ".join([os.path.basename(words[0]), *words[1:]])
    shown = "".join(one if one.isprintable() else " " for one in text)
    return shown if len(shown) <= _LONGEST_COMMAND else shown[:_LONGEST_COMMAND] + " ..."


def _skips(word, rest):
    """Say whether a word is an option of the loader; take its value too."""
    if word in _WITH_VALUE:
        next(rest, None)
    return word.startswith("--")
