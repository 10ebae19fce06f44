# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Inventory plugin clusters."""

from __future__ import annotations

DOCUMENTATION = r"""
name: clusters
author: The multicluster.gloo authors (!UNKNOWN)
version_added: 0.1.0
short_description: Clusters from kubeconfigs and Gloo Mesh as hosts
description:
  - Creates one host for each Kubernetes cluster, for the playbooks of this collection.
  - The clusters are contexts of kubeconfigs, selected by patterns. With O(management_context) they are the clusters
    that are registered in a management cluster (its KubernetesClusters) and have a context, and the management
    cluster itself.
  - The name of a host is the name of its cluster in Gloo Mesh and its cluster ID in Istio.
  - The groups C(management), C(workload) and C(gateway) always exist.
  - Variables of a host are C(kubeconfig), C(kube_context), C(cluster_uid) if it is set in O(cluster_uids), and
    C(ansible_connection) and C(ansible_python_interpreter), so that tasks run on the Ansible controller.
  - The name of the configuration file ends with V(gloo.yml) or V(gloo.yaml).
notes:
  - Reading contexts sends no request to any cluster. With O(management_context), KubernetesClusters are listed.
    This needs the permission to list them in O(management_namespace).
  - Texts of a kubeconfig or a cluster are never evaluated as templates.
  - The cache has only the names, labels and recorded UIDs of registered clusters, and nothing of a kubeconfig.
  - Ansible continues without the hosts of an inventory that has an error. To end the run instead, set
    E(ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED) to V(true).
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: Name of this plugin.
    type: str
    required: true
    choices: [multicluster.gloo.clusters]
  kubeconfig:
    description:
      - One kubeconfig or a list of them.
      - An entry is a path, several paths as for E(KUBECONFIG) (V(a:b)) which are merged as by kubectl, or the
        content of a kubeconfig as dictionary or text.
      - Relative paths belong to the folder of the configuration file, those of E(KUBECONFIG) to the current folder.
      - Content is kept in memory on Linux, elsewhere in a private file that is deleted when Ansible ends. Variable
        C(kubeconfig) of its hosts is a path, which can be read until Ansible ends, so do not use content if another
        program stores the inventory, such as an inventory source of AWX.
      - Templates are evaluated, for example a lookup of an environment variable.
    type: raw
    default: ~/.kube/config
    env:
      - name: KUBECONFIG
  contexts:
    description:
      - Which contexts are clusters. Entries are patterns, or dictionaries with C(pattern) and C(name). The first
        entry that matches a context is used.
      - A pattern may contain C(*), C(?) and C([...]). A pattern that begins with C(~) is a regular expression for
        the whole name of a context.
      - C(name) is the name of the host. It may refer to groups of a regular expression (C(\1)). Without it, the
        host has the name of the context.
      - A name that is not valid for a cluster, and two contexts that give the same name, are errors.
    type: list
    elements: raw
    default: ['*']
  management_context:
    description:
      - Context of the management cluster. If set, hosts are this cluster and the registered clusters.
      - A registered cluster is the context for which O(contexts) gives its name. One without a context is left out
        with a warning. Preflight names it as well.
    type: str
  management_namespace:
    description: Namespace of the KubernetesClusters.
    type: str
    default: gloo-mesh
  timeout:
    description:
      - Seconds for reading the KubernetesClusters, with retries.
      - A credential plugin of the kubeconfig has another 30 seconds.
    type: int
    default: 30
  management:
    description:
      - Hosts of group C(management), as names or patterns. A name that is not a host is an error.
      - By default the host of O(management_context).
    type: list
    elements: str
  workload:
    description:
      - Hosts of group C(workload), as names or patterns. A name that is not a host is an error.
      - By default the registered clusters if O(management_context) is set, except the management cluster.
    type: list
    elements: str
  gateway:
    description: Hosts of group C(gateway), as names or patterns. A name that is not a host is an error.
    type: list
    elements: str
  cluster_uids:
    description:
      - UIDs of namespace C(kube-system) by host. Preflight fails if the context leads to another cluster.
    type: dict
    default: {}
  compose:
    description:
      - Create variables from Jinja2 expressions.
      - Besides variables of the host, expressions may use C(registration), which has C(name), C(labels) and C(uid)
        of the KubernetesCluster. C(uid) is the one that the mesh role has recorded. All are empty if
        O(management_context) is not set. The same is true for O(groups) and O(keyed_groups).
"""

EXAMPLES = r"""
---
# clusters.gloo.yml: contexts mgmt, cluster1, cluster2, ... of KUBECONFIG or ~/.kube/config
plugin: multicluster.gloo.clusters
contexts: [mgmt, cluster*]
management: mgmt
workload: cluster*
gateway: cluster1
---
# Several kubeconfigs. Hosts have other names than contexts: eu-1 for admin@prod-eu-1.example
plugin: multicluster.gloo.clusters
kubeconfig:
  - mgmt.kubeconfig
  - workloads.kubeconfig
contexts:
  - pattern: hub
    name: mgmt
  - pattern: ~admin@prod-(.*)\.example
    name: \1
management: mgmt
workload: ['eu-*', 'us-*']
gateway: [eu-1]
cluster_uids:
  mgmt: 3c0de8b5-7a4d-4b8e-9c11-5f1c9be2d0a1
---
# The clusters that are registered in Gloo Mesh, with groups such as region_eu by their labels. Their UIDs are pinned.
plugin: multicluster.gloo.clusters
management_context: mgmt
gateway: cluster1
compose:
  cluster_uid: registration.uid or none
groups:
  canary: registration.labels.stage | default('') == 'canary'
keyed_groups:
  - key: registration.labels.region
    prefix: region
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: inventory_cache
---
# Content of a kubeconfig from the environment
plugin: multicluster.gloo.clusters
kubeconfig: "{{ lookup('ansible.builtin.env', 'SITE_KUBECONFIG') }}"
management: mgmt
workload: cluster*
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.template import trust_as_template

from ..module_utils.k8s.client import Cluster
from ..module_utils.k8s.errors import ClusterError
from ..module_utils.k8s.kubeconfig import contexts_of, parsed
from ..module_utils.k8s.printable import one_line
from ..module_utils.k8s.secret_files import lasting_file
from ..plugin_utils.cluster_hosts import (
    OPTIONS,
    Context,
    Host,
    Registration,
    check_options,
    groups,
    hosts,
    management_host,
    registrations,
    sources,
    uids,
)

_KIND = ("admin.gloo.solo.io/v2", "KubernetesCluster")
_NONE = Registration("", "", {})
_DEFAULT = "~/.kube/config"
# As in an inventory file: tasks run on the Ansible controller.
_LOCAL = {
    "ansible_connection": trust_as_template("local"),
    "ansible_python_interpreter": trust_as_template("{{ ansible_playbook_python }}"),
}


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Ansible's entry point."""

    NAME = "multicluster.gloo.clusters"

    def verify_file(self, path: str) -> bool:
        """Whether the name of the file is one of this plugin."""
        return bool(super().verify_file(path)) and path.endswith(("gloo.yml", "gloo.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill the inventory. ``path``: of the configuration file; ``cache``: False when Ansible refreshes it."""
        super().parse(inventory, loader, path, cache)
        config = self._read_config_data(path)
        if "kubeconfig" in config:
            folder, kubeconfig = Path(path).absolute().parent, self.templar.template(config["kubeconfig"])
            config = {**config, "kubeconfig": kubeconfig}
        else:
            # As for kubectl, an empty KUBECONFIG counts as none.
            folder, kubeconfig = Path.cwd(), self.get_option("kubeconfig") or _DEFAULT
        try:
            check_options(config, self._options)
            options = {name: self.get_option(name) for name in OPTIONS}
            self._fill(options, list(_contexts(kubeconfig, folder)), path, cache)
        except ClusterError as exc:
            raise AnsibleParserError(one_line(exc.msg)) from None

    def _fill(self, options: Mapping[str, Any], contexts: Sequence[Context], path: str, cache: bool) -> None:
        registered = self._registered(options, contexts, path, cache) if options["management_context"] else None
        found, missing = hosts(contexts, options, registered)
        if missing:
            self.display.warning(
                f"{one_line(', '.join(missing))[:500]}: registered in the management cluster, but no context has this "
                "name. Not in the inventory. Add a context, or an entry of contexts with pattern and name"
            )
        members, pinned = groups(found, options), uids(found, options)
        for host in found:
            own = {**host.variables, **({"cluster_uid": pinned[host.name]} if host.name in pinned else {})}
            self._populate_host_vars([host.name], {**_LOCAL, **own})
        for group in members:
            self.inventory.add_group(group)
        for host in found:
            self._construct(host)
        # Last: hosts that an error leaves behind are in no group of the playbooks.
        for group, names in members.items():
            for name in names:
                self.inventory.add_child(group, name)

    def _construct(self, host: Host) -> None:
        """Variables and groups of the user's expressions."""
        strict = self.get_option("strict")
        variables = {**self.inventory.get_host(host.name).get_vars(), "registration": (host.registration or _NONE).row}
        self._set_composite_vars(self.get_option("compose"), variables, host.name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, host.name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host.name, strict=strict)

    def _registered(
        self, options: Mapping[str, Any], contexts: Sequence[Context], path: str, cache: bool
    ) -> list[Registration]:
        """The registered clusters, from the cache if it has them."""
        caching = self.get_option("cache")
        key = self.get_cache_key(f"{path} {options['management_context']} {options['management_namespace']}")
        if caching and cache:
            found = registrations(self._cache.get(key))
            if found:
                return found
        found = self._read(options, management_host(contexts, options))
        if caching:
            self._cache[key] = [each.row for each in found]
        return found

    def _read(self, options: Mapping[str, Any], management: Host) -> list[Registration]:
        context, name = management.context, management.name
        limit, namespace = float(options["timeout"]), options["management_namespace"]
        with (
            Cluster(context.kubeconfig, context.name, name, patience=min(limit, 5.0)) as cluster,
            cluster.within(limit),
        ):
            found = [Registration.of(each) for each in cluster.list(*_KIND, namespace)]
        if not found:
            raise ClusterError(
                f"{name}: KubernetesCluster in {namespace}: there is none. Set management_namespace to the "
                "namespace that has them, or select clusters with contexts alone"
            )
        return found


def _contexts(kubeconfig: Any, folder: Path) -> Iterator[Context]:
    """Every context of the option kubeconfig. Raises ClusterError."""
    for source in sources(kubeconfig):
        path = _content(source, folder) if _is_content(source) else _absolute(source, folder)
        for name in contexts_of("kubeconfig", path):
            yield Context(name, path)


def _is_content(source: Any) -> bool:
    return isinstance(source, Mapping) or "\n" in source.strip() or source.lstrip().startswith("{")


def _content(source: Any, folder: Path) -> str:
    """Path of a file in memory with the content of a kubeconfig."""
    # Texts that Ansible Vault has encrypted, dates, and Ansible's own kind of texts become plain texts.
    data = json.dumps(source, default=str) if isinstance(source, Mapping) else str.__str__(source)
    content = parsed("kubeconfig", "its content", data, folder)
    return lasting_file("kubeconfig", json.dumps(content, default=str).encode())


def _absolute(source: str, folder: Path) -> str:
    """One path or several, absolute."""

    def absolute(part: str) -> Path:
        return folder / Path(os.path.expandvars(part)).expanduser()

    if os.path.exists(absolute(source)):  # noqa: PTH110 - Path.exists() raises for what is no path
        return str(absolute(source))
    return os.pathsep.join(str(absolute(part)) for part in source.split(os.pathsep) if part.strip())
