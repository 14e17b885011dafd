"""The network: transport, throttle, tokens, client. Owns every socket of an export."""

from asyncreport.net.client import Lane
from asyncreport.net.connection_lanes import open_lanes
from asyncreport.net.counts import RequestCounts
from asyncreport.net.shared_clients import SharedClients
from asyncreport.net.transport import OPEN, Gates

__all__ = ["OPEN", "Gates", "Lane", "RequestCounts", "SharedClients", "open_lanes"]
