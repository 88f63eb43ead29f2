"""The steps of an install, in the order in which they run."""

from __future__ import annotations

from bundler.installer.steps import (
    drivers,
    escort,
    health,
    images,
    keystore,
    launcher,
    marks,
    packages,
    release,
    rpms,
    services,
    settings,
    stop,
    store,
    switch,
    trust,
    units,
)
from bundler.installer.steps.step import Step

STEPS: tuple[Step, ...] = (
    # First to come and last to go: after a power cut it finishes or takes back the rest.
    launcher,
    store,
    trust,
    marks,
    packages,
    rpms,
    images,
    release,
    stop,
    drivers,
    settings,
    escort,
    units,
    switch,
    keystore,
    services,
    health,
)
