"""The network: transport, throttle, tokens, client. Owns every socket of an export."""

from asyncreport.net.client import Lane, open_lanes
from asyncreport.net.counts import RequestCounts
from asyncreport.net.transport import at_once

__all__ = ["Lane", "RequestCounts", "at_once", "open_lanes"]
