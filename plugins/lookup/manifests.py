# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lookup of Kubernetes objects in manifest files, directories and URLs."""

from __future__ import annotations

DOCUMENTATION = r"""
name: manifests
author: The multicluster.gloo authors (!UNKNOWN)
version_added: 0.1.0
short_description: Kubernetes objects of a manifest file, directory or URL
description:
  - Reads YAML documents and returns the objects in them.
  - A directory gives the objects of its files that end in C(.yaml) or C(.yml), in the order of their names.
options:
  _terms:
    description: Files, directories and URLs (http, https).
    type: list
    elements: str
    required: true
  kinds:
    description: Only objects of these kinds; all when empty. An installation bundle may contain other kinds.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show the names of the CRDs
  ansible.builtin.debug:
    msg: "{{ crds | map(attribute='metadata.name') | list }}"
  vars:
    crds: "{{ lookup('multicluster.gloo.manifests', 'crds/', kinds=['CustomResourceDefinition']) }}"

- name: Apply the CRDs
  multicluster.gloo.objects:
    kubeconfig: ~/.kube/config
    context: cluster1
    definitions: "{{ lookup('multicluster.gloo.manifests', 'crds/', kinds=['CustomResourceDefinition']) }}"
"""

RETURN = r"""
_raw:
  description: The objects.
  type: list
  elements: dict
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.urls import open_url
from ansible.plugins.lookup import LookupBase

# The C loader is ten times faster on bundles of CRDs; some builds of PyYAML lack it.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[list[dict[str, Any]]]:
        """All objects of all terms as one list."""
        self.set_options(var_options=variables, direct=kwargs)
        kinds = self.get_option("kinds")
        found = [each for term in terms for source, text in texts(term) for each in objects(source, text)]
        return [[each for each in found if not kinds or each.get("kind") in kinds]]


def texts(term: str) -> Iterator[tuple[str, str]]:
    """Name and text of every manifest of a file, directory or URL. Raises AnsibleError for unreadable sources."""
    if term.startswith(("http://", "https://")):
        try:
            yield term, open_url(term, http_agent="multicluster.gloo").read().decode()
        except Exception as exc:  # urllib, ssl and http.client raise many types
            raise AnsibleError(f"{term}: cannot be downloaded: {exc}. Give a local file or directory instead") from exc
        return
    path = Path(term).expanduser()
    files = sorted(each for each in path.iterdir() if each.suffix in (".yaml", ".yml")) if path.is_dir() else [path]
    if not files:
        raise AnsibleError(f"{path}: the directory has no .yaml or .yml file. Give another directory")
    for file in files:
        try:
            yield str(file), file.read_text(encoding="utf-8")
        except OSError as exc:
            raise AnsibleError(f"{file}: cannot be read: {exc.strerror}") from exc


def objects(source: str, text: str) -> list[dict[str, Any]]:
    """Kubernetes objects of a text. Raises AnsibleError for invalid YAML and for other content."""
    try:
        documents = [each for each in yaml.load_all(text, Loader=Loader) if each is not None]
    except yaml.YAMLError as exc:
        raise AnsibleError(f"{source}: invalid YAML: {exc}") from exc
    for document in documents:
        if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
            raise AnsibleError(
                f"{source}: a document has no apiVersion or kind. Remove it, or give a file of Kubernetes objects"
            )
    return documents
