"""Trying again: what another attempt may mend, when it is due, and when to give up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError, SSLError

from bundler.client import LedToPlainError, origin
from bundler.pace import Clock, Pace

_ATTEMPTS = 4
_LONGEST_WAIT_S = 60
_NO_CONNECTION = (NewConnectionError, ConnectTimeoutError)


class RefusedError(Exception):
    """The server will not give this file; another mirror may."""


class DeadError(Exception):
    """Nobody answers there; what else there is comes first."""


class StoppedError(Exception):
    """Another piece of work failed, or the user stopped the program."""


class FailedError(Exception):
    """An attempt failed and another one may not: `wait_s` is what the server asks for.

    `pressed` tells that fewer requests may help, `dead` that nobody answered at all.
    """

    def __init__(self, reason: str, *, wait_s: float = 0.0, pressed: bool = True, dead: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.pressed = pressed
        self.dead = dead


class Persistence:
    """Does things until they work; knows the pace of each server, and which of them did not answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._paces: dict[tuple[str, str | None, int | None], Pace] = {}

    def go_on(self) -> None:
        """Do nothing, unless everything is to stop.

        Raises:
            StoppedError: it is.
        """
        if self._clock.stopped:
            raise StoppedError

    def likely_first(self, urls: Iterable[str]) -> list[str]:
        """Order URLs so that servers which did not answer before come last."""
        return sorted(urls, key=lambda url: self._pace(url).dead)

    def _pace(self, url: str) -> Pace:
        return self._paces.setdefault(origin(url), Pace(self._clock))

    def persist(
        self, url: str, once: Callable[[], None], *, patient: bool, came: Callable[[], int] = lambda: 0
    ) -> None:
        """Do something until it works; attempts in which more of a file `came` than ever before do not count."""
        pace = self._pace(url)
        attempt, most = 0, came()
        while True:
            self.go_on()
            failed = self._try(pace, once)
            if failed is None:
                return
            pace.dead = failed.dead
            if failed.dead and not patient:
                raise DeadError(str(failed))
            attempt = 1 if came() > most else attempt + 1
            most = came()
            if attempt == _ATTEMPTS:
                raise RefusedError(f"{failed}, {_ATTEMPTS} attempts")
            self._clock.sleep(self._clock.spread(min(max(failed.wait_s, 2.0 ** (attempt - 1)), _LONGEST_WAIT_S)))

    def _try(self, pace: Pace, once: Callable[[], None]) -> FailedError | None:
        with pace.turn() as turn:
            try:
                once()
            except (HTTPError, OSError, FailedError) as error:
                self.go_on()
                failed = _failure(error)
                if failed.pressed:
                    pace.failed(turn, min(failed.wait_s, _LONGEST_WAIT_S))
                return failed
            except LedToPlainError as error:
                raise RefusedError("leads from https to plain http") from error
            pace.worked()
        return None


def _failure(error: Exception) -> FailedError:
    if isinstance(error, FailedError):
        return error
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    if isinstance(cause, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(cause):
        raise RefusedError("its certificate is not one that this host trusts") from error
    return FailedError(type(cause).__name__, dead=isinstance(cause, _NO_CONNECTION))


def retry_after(headers: Mapping[str, str], clock: Clock) -> float:
    """Return the seconds that a server wants to be left alone.

    A date is set against the server's own `Date`, so that it does not matter what this host takes the time for.
    Source: RFC 9110, 10.2.3.
    """
    after = headers.get("Retry-After", "").strip()
    if after.isascii() and after.isdecimal():
        return float(after)
    then = _date(after)
    if then is None:
        return 0.0
    now = _date(headers.get("Date", ""))
    return max(0.0, then - (clock.time() if now is None else now))


def _date(text: str) -> float | None:
    try:
        found = parsedate_to_datetime(text)
        return found.replace(tzinfo=found.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None
