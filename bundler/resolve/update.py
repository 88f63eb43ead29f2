"""Moving some things of a lock and leaving the rest as it was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from packaging.utils import canonicalize_name

from bundler.errors import RecipeError
from bundler.model.deb import LockedDeb
from bundler.model.inventory import things
from bundler.model.lock import Lock
from bundler.model.recipe import Recipe
from bundler.model.wheel import LockedPackage


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """What a new lock takes from the lock `before`: all but the things called `names`."""

    before: Lock
    names: frozenset[str]

    def check(self) -> None:
        """Refuse names of nothing.

        Raises:
            RecipeError: names them.
        """
        known = {_plain(thing.name) for thing in things(self.before)}
        if unknown := sorted(name for name in self.names if _plain(name) not in known):
            raise RecipeError(
                f"expected names of things in the lock, got {', '.join(unknown)}",
                place="--update",
                hint="a distribution, a Debian package, or an image as its reference stands in the lock",
            )

    def pins(self, packages: Iterable[LockedPackage]) -> tuple[str, ...]:
        """Return what holds distributions at the versions they have."""
        versions: dict[str, set[str]] = {}
        for one in packages:
            versions.setdefault(one.name, set()).add(one.version)
        # What has a version for each platform cannot be held by one pin.
        single = {name: found.pop() for name, found in versions.items() if len(found) == 1}
        return tuple(f"{name}=={version}" for name, version in single.items() if not self._moves(name))

    def apply(self, lock: Lock, recipe: Recipe) -> Lock:
        """Return the new lock with what stays as it was; Debian packages move together with those of their set."""
        images = {(one.reference, one.aliases, one.platform): one for one in self.before.images}
        os_debs = self._os_debs(lock, recipe)
        lock = self._rpms(lock, recipe)
        return replace(
            lock,
            upstream=self.before.upstream if os_debs == self.before.os_debs else lock.upstream,
            debs=self._debs(lock.debs, self.before.debs, recipe.python.packages, same=self._same_runtime(lock)),
            os_debs=os_debs,
            images=tuple(
                one if self._moves(str(one.reference)) else images.get((one.reference, one.aliases, one.platform), one)
                for one in lock.images
            ),
        )

    def _os_debs(self, lock: Lock, recipe: Recipe) -> tuple[LockedDeb, ...]:
        return self._debs(
            lock.os_debs,
            self.before.os_debs,
            tuple(name for source in recipe.debs for name in source.packages),
            same=lock.targets == self.before.targets and lock.platforms == self.before.platforms,
        )

    def _rpms(self, lock: Lock, recipe: Recipe) -> Lock:
        """Keep the whole set of a release, with its keys, of which nothing moves."""
        before = self.before
        names = {rpm.name for rpm in before.rpms}
        wanted = {name for source in recipe.rpms for name in source.packages}
        same = (lock.targets, lock.platforms, lock.unsigned_repositories) == (
            before.targets,
            before.platforms,
            before.unsigned_repositories,
        )
        releases = {rpm.release for rpm in before.rpms} == {source.release for source in recipe.rpms}
        if not (same and releases and names >= wanted) or any(map(self._moves, names)):
            return lock
        return replace(lock, rpms=before.rpms, rpm_keys=before.rpm_keys)

    def _same_runtime(self, lock: Lock) -> bool:
        before = self.before
        return (lock.python_suite, lock.platforms) == (before.python_suite, before.platforms)

    def _debs(
        self, new: tuple[LockedDeb, ...], old: tuple[LockedDeb, ...], packages: tuple[str, ...], *, same: bool
    ) -> tuple[LockedDeb, ...]:
        """Keep a set that has all that is asked for, of which nothing moves."""
        names = {deb.name for deb in old}
        suites = {deb.suite for deb in old} == {deb.suite for deb in new}
        keeps = same and suites and names.issuperset(packages) and not any(map(self._moves, names))
        return old if keeps else new

    def _moves(self, name: str) -> bool:
        return _plain(name) in {_plain(one) for one in self.names}


def _plain(name: str) -> str:
    """Return a name as it is compared: of a distribution in its normal form, others as they stand."""
    return name if {"/", ":", "+"} & set(name) else canonicalize_name(name)
