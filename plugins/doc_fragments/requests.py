# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the modules that send requests and identify the responding instances."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment multicluster.gloo.requests."""

    DOCUMENTATION = r"""
options:
  path:
    description: Path and query.
    type: str
    default: /
  host:
    description:
      - The C(Host) header, with an optional port, if it differs from the URL's host.
      - With TLS also the server name (SNI), which has to be in the certificate.
    type: str
  headers:
    description:
      - Additional headers.
      - Headers with credentials, such as C(Authorization), C(Cookie) or C(X-Api-Key), are sent only to the scheme, host
        and port of the URL, not to another target of a redirect.
    type: dict
    default: {}
  validate_certs:
    description: Whether an C(https) URL needs a valid certificate.
    type: bool
    default: true
  ca_cert:
    description: File with the PEM certificates of the CAs for C(https). The system's CAs by default.
    type: path
  pattern:
    description:
      - Regular expression for the name of the instance in a response body, in its group C(instance) or its first group.
      - A group C(cluster) may match the name of the cluster.
      - The default matches responses of Bookinfo's reviews service and product page.
    type: str
    default: '(?:"podname"\s*:\s*"|Reviews served by:(?:\s|<[^>]*>)*)(?P<instance>[a-z0-9][a-z0-9.-]*)'
"""
