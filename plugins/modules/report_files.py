#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module report_files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report_files
short_description: Reports as files of one folder
version_added: 0.1.0
description:
  - Writes texts as files, each whole or not at all, and makes the folder where it is missing.
  - Is never a change, because a report is about the run and not about the clusters.
  - Does for several reports at once what M(ansible.builtin.copy) does for one, without starting a process for each.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.attributes
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell the truth without changing anything.
    support: full
    details: Writes nothing and tells where the files would be.
  diff_mode:
    description: Tells what was or would be changed, in C(diff) mode.
    support: none
  idempotent:
    description: When run twice with the same arguments, the second run changes nothing.
    support: full
options:
  path:
    description: The folder.
    type: path
    required: true
  files:
    description: The text of each file by its name.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Look at two clusters
  multicluster.gloo.health_info:
    clusters:
      - name: mgmt
        kubeconfig: ~/.kube/config
        context: mgmt
        role: management
      - name: cluster1
        kubeconfig: ~/.kube/config
        context: cluster1
        role: workload
  register: found

- name: Keep what was found
  multicluster.gloo.report_files:
    path: ~/reports
    files:
      health.json: "{{ found.health | to_nice_json }}"
  delegate_to: localhost
"""

RETURN = r"""
msg:
  description: One sentence, with the URL of the first file.
  returned: always
  type: str
  sample: "report: file:///home/me/reports/report.html"
files:
  description: Paths of the files.
  returned: success
  type: list
  elements: str
  sample: [/home/me/reports/report.html]
"""

from ..module_utils.engine.module import run_module
from ..module_utils.report.report_files import ARGUMENT_SPEC, run


def main() -> None:
    """Run the module."""
    run_module(run, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
