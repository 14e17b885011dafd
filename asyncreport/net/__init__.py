"""The wire: transport, throttle, tokens, client. Owns every socket of an export."""

from asyncreport.net.client import Lane, open_lanes
from asyncreport.net.tally import Tally

__all__ = ["Lane", "Tally", "open_lanes"]
