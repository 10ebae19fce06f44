# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The attributes: section of the modules."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments multicluster.gloo.attributes, .attributes.info and .attributes.changing."""

    DOCUMENTATION = r"""
options: {}
attributes:
  action:
    description: Has an action plugin of the same name; some of the work is done on the controller.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: full
  platform:
    description: Target operating systems.
    platforms: posix
    support: full
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and report the changes without making them.
    support: full
    details: This module only reads.
  diff_mode:
    description: Returns the changes in C(diff) mode.
    support: N/A
    details: This module only reads.
  idempotent:
    description: When run twice with the same arguments, the second run changes nothing.
    support: full
    details: This module only reads.
"""

    CHANGING = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and report the changes without making them.
    support: full
    details: Reports the changes also before the namespace or the CRD of an object exists.
  diff_mode:
    description: Returns the changes in C(diff) mode.
    support: full
    details: Shows only fields that this collection owns; secret values are replaced by a fingerprint.
  idempotent:
    description: When run twice with the same arguments, the second run changes nothing.
    support: full
    details: An object whose owned fields have the wanted values is not written.
"""
