"""The vendor's metrics: which of them a job can add as columns, and why others are refused. Pure.

The targets of `conversation_aggregation_view.py` in the vendor's SDK, all 82 of them.
"""

from __future__ import annotations

import re

from asyncreport.config.validate import Place, did_you_mean
from asyncreport.core.errors import ConfigError

_COUNTED = """
    nAgentDeclined nAlertExpired nBlindTransferred nBotInteractions nCallbackAttempts
    nCallbackOverSla nCallbackScheduled nCfcOffered nCobrowseSessions nConnected nConsult
    nConsultTransferred nConversations nError nOffered nOutbound nOutboundAbandoned
    nOutboundAttempted nOutboundConnected nOverSla nStateTransitionError nTakeover nTransferred
"""
_OBSERVED = """
    oAudioMessageCount oExternalAudioMessageCount oExternalMediaCount oMediaCount oMessageCount
    oMessageSegmentCount oMessageTurn oSkillExpressionApplications
"""
_TIMED = """
    tAbandon tAcd tActiveCallback tActiveCallbackComplete tAcw tAgentResponseTime
    tAgentVideoConnected tAlert tAnswered tBarging tCallbackAbandon tCallbackConnect
    tCallbackNotReached tCallbackVirtualWait tCfcAbandon tCfcAcd tCfcAnswered tCfcFlowOut tCoaching
    tCoachingComplete tConnected tContacting tDialing tFirstConnect tFirstDial tFirstEngagement
    tFirstResponse tFlowOut tHandle tHeld tHeldComplete tIvr tMonitoring tMonitoringComplete
    tNotResponding tPark tParkComplete tScreenMonitoring tShortAbandon tSnippetRecord tTalk
    tTalkComplete tTransmitting tUserResponseTime tVoicemail tWait
"""

#: those whose counts and sums add up
METRICS = tuple(f"{_TIMED} {_COUNTED} {_OBSERVED}".split())

#: the other metrics, which do not add up, and what to do instead
REFUSED = {
    "oServiceLevel": "a ratio does not add up; use its parts, such as tAnswered and nOverSla",
    "oServiceTarget": "a ratio does not add up; use tAnswered and nOverSla to compare with it",
    "oCallbackServiceLevel": "a ratio does not add up; use its parts, such as nCallbackOverSla",
    "tAverageAgentResponseTime": (
        "an average does not add up; use tAgentResponseTime and divide its sum by its count"
    ),
    "tAverageCustomerResponseTime": (
        "an average does not add up; use tUserResponseTime and divide its sum by its count"
    ),
}

#: names that people often take for metrics, and what to do instead
NOT_METRICS = {
    "nAnswered": "use tAnswered; its count is this number",
    "nHandled": "remove it; every record already has it as handled_count",
    "tAbandoned": "use tAbandon",
    "tHold": "remove it; every record already has it as total_hold_time_sec (tHeldComplete)",
    "avgHandle": "remove it; every record already has it as avg_handle_time_sec",
}

_PERCENTILE = re.compile(r"(\w+\.)?p\d+")
_PERCENTILES = "a percentile does not add up; use the metric, such as tHandle: its count and sum"

_ACCEPTED = (
    f"names such as tAnswered, tDialing, nTransferred (asyncreport schema lists all {len(METRICS)})"
)


def refusal(place: Place, name: str) -> ConfigError:
    """Report a name that is not a metric of METRICS, and what to write instead."""
    if name in NOT_METRICS:
        return place.must("be a metric", f"; {NOT_METRICS[name]}")
    why = REFUSED.get(name)
    if _PERCENTILE.fullmatch(name):
        why = _PERCENTILES
    if why:
        return place.must("be a metric that adds up", f"; {why}")
    return _unknown_metric(place, name)


def _unknown_metric(place: Place, name: str) -> ConfigError:
    """Make the error for a metric that does not exist."""
    return place.must(
        "be a metric",
        did_you_mean(name, METRICS),
        accepted=_ACCEPTED,
    )
