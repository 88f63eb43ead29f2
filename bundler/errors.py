"""The errors of Ferry, one class per person who must act, each with its exit code."""

from __future__ import annotations

from collections.abc import Mapping


class FerryError(Exception):
    """Base of every error that Ferry reports: what was expected, what came, where, and what to do.

    `place` is the spot in a document or file (`wheels[0].sha256`), `hint` the next thing to try.
    """

    exit_code = 1

    def __init__(self, message: str, *, place: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint
        # What a program gets beside the message.
        self.details: Mapping[str, object] = {}

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class RecipeError(FerryError):
    """The recipe, or its lock, says something that Ferry cannot accept: its author must act."""

    exit_code = 3


class ResolveError(FerryError):
    """Upstream has nothing that fits what the recipe asks for."""

    exit_code = 4


class TransferError(FerryError):
    """A transfer failed; trying again later may help."""

    exit_code = 5


class IntegrityError(FerryError):
    """The bytes are not the ones that were promised: stop."""

    exit_code = 6


class TrustError(FerryError):
    """A signature, key or policy refuses: whoever manages keys must act."""

    exit_code = 7


class HostError(FerryError):
    """This host is not as it must be: its operator must act."""

    exit_code = 8


class StepError(FerryError):
    """A command failed on this host: argv, status and its last lines are in the message."""

    exit_code = 9
