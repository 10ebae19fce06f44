# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records of the proofs of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Record = Mapping[str, Any]


def proof_records(result: Record) -> list[dict[str, Any]]:
    """``{proof, path, sent, answers}`` of a looped traffic_check, without those that `when` left out."""
    return [
        {
            "proof": each["item"]["name"],
            "path": each["item"]["path"],
            "sent": each.get("requests_sent", 0),
            "answers": list(each["answers"]),
        }
        for each in result.get("results") or ()
        if each.get("answers")
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"proof_records": proof_records}
