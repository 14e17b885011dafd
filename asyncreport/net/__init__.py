"""The wire: transport, throttle, tokens, client. Owns every socket of an export."""

from asyncreport.net.client import Lane, open_lanes
from asyncreport.net.counts import Tally
from asyncreport.net.transport import at_once

__all__ = ["Lane", "Tally", "at_once", "open_lanes"]
