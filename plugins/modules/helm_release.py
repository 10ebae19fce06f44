#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module helm_release."""

from __future__ import annotations

DOCUMENTATION = r"""
module: helm_release
short_description: Manage a Helm release and keep values that others set
version_added: 0.1.0
description:
  - Reads the release from Helm's records through the API, and runs the program C(helm) only for writes. A release that
    is up to date costs two requests.
  - Values that others set in the release are kept; O(values) are merged over them and recorded in the ConfigMap
    C(multicluster.gloo.<name>), so that they are removed when they are no longer set.
  - A release that existed before is adopted. Its chart version is kept unless O(upgrade_adopted) is set, and
    with O(state=absent) it is rolled back to its last deployed revision before the adoption, never to a failed one.
  - A release that is stuck (pending, failed, uninstalling) is rolled back to its last deployed revision, or uninstalled
    when there was none, as soon as no other Helm operation can be in progress. A pending record written by a process of
    this machine counts as abandoned when that process has ended; others when they are older than both Helm's default
    timeout (5 minutes) and O(timeout).
  - Before the first install and before a change of chart version, the owners of existing objects of the chart are
    checked. Objects of Argo CD, Flux, another release, or without an owner are never taken over.
author:
  - The multicluster.gloo authors (!UNKNOWN)
requirements:
  - Helm 3.12 or newer, for writes. Tested with Helm 3; Helm plugins are not used.
extends_documentation_fragment:
  - multicluster.gloo.cluster
  - multicluster.gloo.attributes
  - multicluster.gloo.attributes.changing
options:
  name:
    description: Name of the release.
    type: str
    required: true
    aliases: [release_name]
  namespace:
    description: Namespace of the release.
    type: str
    required: true
    aliases: [release_namespace]
  state:
    description:
      - V(present) installs or upgrades the release.
      - V(absent) uninstalls a release that this module installed and waits until its objects are gone, restores an
        adopted one, and ignores one without a note.
      - A note is about one installation. A release that others uninstalled and installed again since is theirs.
      - V(checked) changes nothing and fails if V(present) would be refused. Different values are accepted.
    type: str
    choices: [present, absent, checked]
    default: present
    aliases: [release_state]
  chart:
    description:
      - Path of a chart, an C(oci://) or C(https://) URL, or the name of a chart in O(repo_url).
      - Required unless O(state=absent).
    type: str
    aliases: [chart_ref]
  repo_url:
    description: URL of the chart repository.
    type: str
    default: ''
    aliases: [chart_repo_url]
  version:
    description:
      - Exact version of the chart, such as V(1.2.3). By default the installed version is kept, and a new release gets
        the newest one. Not needed for a chart at a path.
      - A version older than the installed one is refused, see O(allow_downgrade).
    type: str
    default: ''
    aliases: [chart_version]
  values:
    description:
      - Values to set. Other values of the release are kept.
      - An adopted release that has all of them already is not changed, and gets no note.
      - Values under names of secrets and below C(licensing) are shown redacted in results and diffs.
    type: dict
    default: {}
    aliases: [release_values]
  initial_values:
    description:
      - Values for a release that this module installs or has installed. O(values) are merged over them.
      - They are not set in a release that existed before.
    type: dict
    default: {}
  check_values:
    description:
      - Placeholders for values that are known only after earlier steps, merged over O(values).
      - Used only in check mode and with O(state=checked), which write nothing.
    type: dict
    default: {}
  keep_values:
    description:
      - Dotted paths in the values. A value that this module set there stays if O(values) and O(initial_values) have
        none for the path, for example a licence that is no longer given.
    type: list
    elements: str
    default: []
  allow_downgrade:
    description: Whether O(version) may be older than the installed one.
    type: bool
    default: false
  upgrade_adopted:
    description: Whether the chart version of an adopted release may change.
    type: bool
    default: false
  on_conflict:
    description:
      - What to do when objects of the chart exist with another owner.
      - V(fail) names the object and its owner.
      - V(keep) leaves the release uninstalled when all of the chart's objects exist, and otherwise fails.
    type: str
    choices: [fail, keep]
    default: fail
  owned_crds:
    description:
      - Switches of the chart, as dotted paths in its values, each with the list of CRDs that it installs.
      - A switch is set to V(false) when another release owns one of its CRDs.
    type: dict
    default: {}
  brings_groups:
    description: API groups whose CRDs the programs of the release install at run time. Noted for cleanup.
    type: list
    elements: str
    default: []
  create_namespace:
    description: Whether to create the namespace.
    type: bool
    default: false
  keep_note:
    description: With O(state=absent), whether the note about the release is kept.
    type: bool
    default: false
  wait:
    description: Whether to wait until the workloads of a changed release are ready.
    type: bool
    default: false
  timeout:
    description: Time for each run of Helm and for each wait, in seconds or as text such as V(10m).
    type: str
    default: 300s
  binary_path:
    description: The program C(helm).
    type: str
    default: helm
notes:
  - Releases in Secrets and ConfigMaps are found; E(HELM_DRIVER) selects one of them.
  - Helm gets a minimal environment without licence keys, the values on standard input, and the kubeconfig as a file in
    memory; where the system has none, as a private file that is removed afterwards.
  - Helm and its children end when Ansible ends, also when Ansible is killed.
seealso:
  - module: multicluster.gloo.objects
"""

EXAMPLES = r"""
- name: Install a chart
  multicluster.gloo.helm_release:
    kubeconfig: ~/.kube/config
    context: cluster1
    name: gloo-gateway
    namespace: gloo-system
    chart: oci://us-docker.pkg.dev/solo-public/gloo-gateway/charts/gloo-gateway
    version: 2.0.0
    values:
      controller:
        extraEnv:
          KGW_ENABLE_ISTIO_AUTO_MTLS: "true"
    initial_values:
      controller:
        logLevel: info
    wait: true

- name: Install CRDs except those that another release owns
  multicluster.gloo.helm_release:
    kubeconfig: ~/.kube/config
    context: cluster1
    name: gloo-gateway-crds
    namespace: gloo-system
    chart: oci://us-docker.pkg.dev/solo-public/gloo-gateway/charts/gloo-gateway-crds
    version: 2.0.0
    owned_crds:
      installExtAuthCRDs: [authconfigs.extauth.solo.io]
      installRateLimitCRDs: [ratelimitconfigs.ratelimit.solo.io]

- name: Uninstall it, or restore an adopted one
  multicluster.gloo.helm_release:
    kubeconfig: ~/.kube/config
    context: cluster1
    name: gloo-gateway
    namespace: gloo-system
    state: absent
"""

RETURN = r"""
msg:
  description: A one-line summary.
  returned: always
  type: str
  sample: "cluster1: Helm release gloo-system/gloo-gateway: upgrade to chart version 2.0.5"
actions:
  description: What Helm did, or would do in check mode, in order.
  returned: success
  type: list
  elements: str
  sample: [roll back to revision 3, upgrade to chart version 2.0.5]
release:
  description: The current state of the release.
  returned: success
  type: dict
  contains:
    cluster:
      description: The cluster.
      type: str
      returned: always
    name:
      description: Name of the release.
      type: str
      returned: always
    namespace:
      description: Its namespace.
      type: str
      returned: always
    whose:
      description: V(ours) (installed by this module), V(adopted) (existed before) or V(foreign) (no note).
      type: str
      returned: always
    status:
      description: Helm's status, or V(absent).
      type: str
      returned: always
    revision:
      description: Its revision, 0 when it is absent.
      type: int
      returned: always
    chart:
      description: Name of its chart.
      type: str
      returned: when it exists
    version:
      description: Version of its chart.
      type: str
      returned: when it exists
    app_version:
      description: Version of the application.
      type: str
      returned: when it exists
    updated:
      description: Time of its last change.
      type: str
      returned: when it exists
    values:
      description: The user-supplied values, secrets redacted.
      type: dict
      returned: when it exists
  sample:
    cluster: cluster1
    name: gloo-gateway
    namespace: gloo-system
    whose: adopted
    status: deployed
    revision: 4
    chart: gloo-gateway
    version: 2.0.5
    app_version: 2.0.5
    updated: "2026-01-02T03:04:05Z"
    values: {licensing: {glooGatewayLicenseKey: (redacted)}}
requests:
  description: Number of HTTP requests made.
  returned: success
  type: int
  sample: 2
writes:
  description: Number of write requests, without those of Helm.
  returned: success
  type: int
  sample: 0
"""

from ..module_utils.engine.module import run_module
from ..module_utils.helm.helm_release import ARGUMENT_SPEC, RULES, run, secrets


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC, secrets, **RULES)


if __name__ == "__main__":
    main()
