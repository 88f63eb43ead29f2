"""helm as a program: it renders a chart in a namespace without network, with nothing of the user's own settings."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bundler.errors import HostError, ResolveError, StepError
from bundler.model.chart import ChartSource
from bundler.run import run

HELM = "FERRY_HELM"
_TIMEOUT_S = 120
_MAX_BYTES = 64 * 1024 * 1024
# A chart is what others wrote: it gets neither a network nor the powers of whoever builds.
_ALONE = ("unshare", "--user", "--map-root-user", "--net", "--ipc", "--pid", "--fork", "--kill-child")
_HOMES = (
    "HOME",
    "HELM_CACHE_HOME",
    "HELM_CONFIG_HOME",
    "HELM_DATA_HOME",
    "HELM_PLUGINS",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
)
_VERSION = re.compile(r"v([0-9]+)\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*")
_WITHOUT = (
    f"install helm or name it in {HELM}; or give what `helm template` prints elsewhere as `rendered`; "
    "or list the images of the chart"
)


class Helm:
    """The helm of this host, 3 or later.

    Raises:
        HostError: there is none, or an older one, or no namespace can be made.
    """

    def __init__(self) -> None:
        named = os.environ.get(HELM, "")
        self._program = str(Path(named).absolute()) if "/" in named else shutil.which(named or "helm") or ""
        if not self._program:
            raise HostError('expected the program "helm", this host has none', hint=_WITHOUT)
        self._check_alone()
        try:
            said = self._run(["version", "--template", "{{.Version}}"]).strip()
        except StepError as error:
            raise HostError(f"expected a helm that runs: {error.message}", hint=_WITHOUT) from error
        match = _VERSION.fullmatch(said)
        if match is None or int(match[1]) < 3:
            raise HostError(f'expected helm 3 or later, "{self._program}" is {said[:40]!r}', hint=_WITHOUT)
        self.version = said.removeprefix("v")

    def render(self, chart: bytes, source: ChartSource, release: str, values: Sequence[Path]) -> str:
        """Return the manifests of a chart: its hooks and its definitions of resources too.

        Raises:
            ResolveError: helm refuses the chart or the values, or renders too much.
        """
        with tempfile.TemporaryDirectory(prefix="ferry-helm-") as work:
            packed = Path(work, "chart.tgz")
            packed.write_bytes(chart)
            words: list[str | Path] = ["template", release, packed, "--namespace", source.namespace, "--include-crds"]
            words += ["--kube-version", source.kubernetes]
            words += [word for one in source.api_versions for word in ("--api-versions", one)]
            words += [word for one in values for word in ("--values", one.resolve())]
            try:
                text = self._run(words)
            except StepError as error:
                said = error.message.partition(":\n")[2] or error.message
                raise ResolveError(
                    f"helm does not render it: {said}", hint="give the values that it asks for"
                ) from error
        if len(text) > _MAX_BYTES:
            raise ResolveError(f"expected at most {_MAX_BYTES} characters of manifests, got {len(text)}")
        return text

    def _check_alone(self) -> None:
        try:
            run([*_ALONE, "true"], timeout_s=10)
        except StepError as error:
            raise HostError(
                f"expected to make a user namespace without network: {error.message}",
                hint="allow user namespaces: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone",
            ) from error

    def _run(self, words: Sequence[str | Path]) -> str:
        with tempfile.TemporaryDirectory(prefix="ferry-helm-home-") as home:
            own = dict.fromkeys(_HOMES, home)
            return run([*_ALONE, self._program, *words], timeout_s=_TIMEOUT_S, environment=own, cwd=Path(home)).stdout
