"""A Genesys Cloud on loopback: deterministic, rate-limited, and faulty on request.

Owns its sockets. It is the project's sandbox: it writes the wire's shapes by hand and imports
nothing from `asyncreport.api`, so that a mistake of a decoder cannot hide in it. What the vendor
does not document is what the project believes.
"""

from __future__ import annotations

from asyncreport.emulator.cloud import Cloud
from asyncreport.emulator.faults import Faults
from asyncreport.emulator.options import Options
from asyncreport.emulator.server import Emulator, running, serve
from asyncreport.emulator.world import Emission, Span, World

__all__ = [
    "Cloud",
    "Emission",
    "Emulator",
    "Faults",
    "Options",
    "Span",
    "World",
    "running",
    "serve",
]
