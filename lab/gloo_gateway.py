"""Played: the Gloo Gateway controller."""

from __future__ import annotations

from lab.gloo_gateway_routes import routes

__all__ = ["routes"]
