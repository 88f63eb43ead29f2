"""Small Helm charts, packed in memory."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  template:
    spec:
      initContainers:
        - {name: init, image: "busybox"}
      containers:
        - {name: web, image: "{{ .Values.registry }}/web:{{ .Chart.AppVersion }}"}
"""
CRON = """\
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: "{{ .Values.registry }}/cron:1"}]}}}}}
"""
HOOK = """\
apiVersion: batch/v1
kind: Job
metadata: {name: before, annotations: {helm.sh/hook: pre-install}}
spec: {template: {spec: {containers: [{name: h, image: "{{ .Values.registry }}/hook:1"}]}}}
"""
CHART = """\
apiVersion: v2
name: sample
version: 1.10.0
appVersion: "2.0"
annotations:
  artifacthub.io/images: |
    - {name: extra, image: quay.example/extra:3}
"""
FILES = {
    "sample/Chart.yaml": CHART,
    "sample/values.yaml": "registry: registry.example/team\n",
    "sample/templates/web.yaml": DEPLOYMENT,
    "sample/templates/cron.yaml": CRON,
    "sample/templates/hook.yaml": HOOK,
}


def pack_chart(files: Mapping[str, str | bytes] = FILES, *members: tarfile.TarInfo) -> bytes:
    """Return a packed chart of files and of further members without content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for member in members:
            tar.addfile(member)
    return gzip.compress(out.getvalue(), mtime=0)


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    """Return a member that is no file: a link, a device, a directory."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info
