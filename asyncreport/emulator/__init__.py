"""A Genesys Cloud on loopback, deterministic, rate-limited and faulty on demand: the project's sandbox. Owns its sockets.

It writes the wire's shapes out by hand and imports nothing from `asyncreport.api`, so that a decoder's mistake cannot hide in it.
What the vendor does not document is as believed in the facts page of the project.
"""

from __future__ import annotations

from asyncreport.emulator.options import Options
from asyncreport.emulator.server import Emulator, running, serve
from asyncreport.emulator.world import Emission, Span, World

__all__ = ["Emission", "Emulator", "Options", "Span", "World", "running", "serve"]
