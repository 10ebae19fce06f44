#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module site_lease."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_lease
short_description: Wait until no other run writes to a site
version_added: 0.1.0
description:
  - Reads the Lease that a run holds while it writes to the clusters of a site. The run and its Lease are those of the
    environment variable E(MULTICLUSTER_GLOO_LEASE), see the lookup P(multicluster.gloo.site_lease#lookup).
  - Tasks of a play with this variable take the Lease themselves before their first write. This module only waits for
    another run at the beginning of a run, and deletes the Lease at its end.
  - Without the variable, and in check mode, it does nothing. A Lease that cannot be read is no error, because it is
    read again before the first write.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.attributes
attributes:
  check_mode:
    description: Can run in C(check_mode) and report the changes without making them.
    support: full
    details: Does nothing.
  diff_mode:
    description: Returns the changes in C(diff) mode.
    support: none
  idempotent:
    description: When run twice with the same arguments, the second run changes nothing.
    support: full
    details: The Lease is no part of the site, so C(changed) is always false.
options:
  state:
    description:
      - V(free) waits until no other run holds the Lease. A Lease has expired, and is free, 60 seconds after its last
        renewal, and at once if its run was on this machine and has ended.
      - V(released) deletes the Lease if this run holds it.
    type: str
    choices: [free, released]
    default: free
  wait_timeout:
    description: Seconds to wait for the other run before the task fails.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Wait until no other run writes to the site
  multicluster.gloo.site_lease:
    state: free
    wait_timeout: 75
  environment:
    MULTICLUSTER_GLOO_LEASE: "{{ lookup('multicluster.gloo.site_lease', clusters) }}"
  vars:
    clusters:
      - name: mgmt
        role: management
        kubeconfig: ~/.kube/config
        context: mgmt
"""

RETURN = r"""
msg:
  description: One sentence.
  returned: always
  type: str
  sample: >-
    mgmt: Lease default/multicluster.gloo: alice on build7 (site.yml) has been changing this site since
    2026-11-28T12:03:11Z. Wait until that run has ended. If it was killed, the Lease expires at 2026-11-28T12:10:41Z
holder:
  description: Who holds the Lease.
  returned: when another run holds it
  type: str
"""

from ..module_utils.engine.module import run_module
from ..module_utils.site.site_lease import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
