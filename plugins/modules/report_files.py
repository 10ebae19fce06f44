#!/usr/bin/python
# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module report_files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report_files
short_description: Write a result of health_info as HTML, Markdown, JSON and JUnit
version_added: 0.1.0
description:
  - Writes one file for each format. The folder is created when it does not exist.
  - Each file is replaced as a whole and is readable by its user only (mode 0600, new folders 0700). A link or pipe
    with the name of a file is replaced. A symbolic link that another user created in a shared folder on the way to
    the files is an error.
  - Text of the clusters is escaped in every format, and control characters are replaced. URLs are shown without user
    and password.
  - Never reports a change, because a report describes the run and not the clusters.
author:
  - The multicluster.gloo authors (!UNKNOWN)
extends_documentation_fragment:
  - multicluster.gloo.attributes
attributes:
  check_mode:
    description: Can run in C(check_mode) and return the changed status prediction without modifying the target.
    support: full
    details: Writes nothing; RV(files) has the paths the reports would have.
  diff_mode:
    description: Returns details on what has changed, or would change in check mode, in C(diff) mode.
    support: none
  idempotent:
    description: When run twice with the same arguments, the second run changes nothing.
    support: full
options:
  health:
    description: RV(multicluster.gloo.health_info#module:health), the result of M(multicluster.gloo.health_info).
    type: dict
    required: true
  path:
    description: Folder of the files.
    type: path
    required: true
  name:
    description: Name of the files, without extension.
    type: str
    default: report
  title:
    description: Title of the reports.
    type: str
    default: Multicluster routing
  formats:
    description:
      - V(html) is one page without scripts or network access, V(markdown) fits the summary of a CI run or a pull
        request, V(json) is the result itself with sorted keys, V(junit) has a test suite for each cluster and a test
        case for each check.
    type: list
    elements: str
    choices: [html, markdown, json, junit]
    default: [html, markdown, json, junit]
  docs_url:
    description:
      - URL of the folder that contains the collection's C(docs), to link each check to its paragraph. Without it the
        path is shown as text.
    type: str
    default: ""
seealso:
  - module: multicluster.gloo.health_info
"""

EXAMPLES = r"""
- name: Check two clusters
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

- name: Write the report for the CI system
  multicluster.gloo.report_files:
    health: "{{ found.health }}"
    path: ~/reports
    formats: [html, junit]
  delegate_to: localhost
"""

RETURN = r"""
msg:
  description: One sentence with the URL of the first file.
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
