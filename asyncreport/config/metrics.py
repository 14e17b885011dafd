"""The vendor's metrics: which of them a job can add as columns, and why others are refused. Pure.

The targets of `conversation_aggregation_view.py` in the vendor's SDK, all 82 of them.
"""

from __future__ import annotations

import re

from asyncreport.config.place import near

_COUNTED = """
    nAgentDeclined nAlertExpired nBlindTransferred nBotInteractions nCallbackAttempts nCallbackOverSla nCallbackScheduled nCfcOffered
    nCobrowseSessions nConnected nConsult nConsultTransferred nConversations nError nOffered nOutbound nOutboundAbandoned
    nOutboundAttempted nOutboundConnected nOverSla nStateTransitionError nTakeover nTransferred
"""
_OBSERVED = """
    oAudioMessageCount oExternalAudioMessageCount oExternalMediaCount oMediaCount oMessageCount oMessageSegmentCount oMessageTurn
    oSkillExpressionApplications
"""
_TIMED = """
    tAbandon tAcd tActiveCallback tActiveCallbackComplete tAcw tAgentResponseTime tAgentVideoConnected tAlert tAnswered tBarging
    tCallbackAbandon tCallbackConnect tCallbackNotReached tCallbackVirtualWait tCfcAbandon tCfcAcd tCfcAnswered tCfcFlowOut tCoaching
    tCoachingComplete tConnected tContacting tDialing tFirstConnect tFirstDial tFirstEngagement tFirstResponse tFlowOut tHandle tHeld
    tHeldComplete tIvr tMonitoring tMonitoringComplete tNotResponding tPark tParkComplete tScreenMonitoring tShortAbandon tSnippetRecord
    tTalk tTalkComplete tTransmitting tUserResponseTime tVoicemail tWait
"""

#: those whose counts and sums add up
METRICS = tuple(f"{_TIMED} {_COUNTED} {_OBSERVED}".split())

#: the others, and names that are often taken for metrics
REFUSED = {
    "oServiceLevel": "is a ratio, and ratios do not add up; ask for what it is made of, such as tAnswered and nOverSla",
    "oServiceTarget": "is a ratio, and ratios do not add up; ask for what is held against it, such as tAnswered and nOverSla",
    "oCallbackServiceLevel": "is a ratio, and ratios do not add up; ask for what it is made of, such as nCallbackOverSla",
    "tAverageAgentResponseTime": "is an average, and averages do not add up; ask for tAgentResponseTime and divide its sum by its count",
    "tAverageCustomerResponseTime": "is an average, and averages do not add up; ask for tUserResponseTime and divide its sum by its count",
    "nAnswered": "is no metric of the vendor's; ask for tAnswered, whose count it is",
    "nHandled": "is no metric of the vendor's; remove it: every record has it as handled_count",
    "tAbandoned": "is no metric of the vendor's; ask for tAbandon",
    "tHold": "is no metric of the vendor's; remove it: every record has it as total_hold_time_sec (of tHeldComplete)",
    "avgHandle": "is no metric of the vendor's; remove it: every record has it as avg_handle_time_sec",
}

_ACCEPTED = (
    f"names such as tAnswered, tDialing, nTransferred (asyncreport schema lists all {len(METRICS)})"
)

_PERCENTILE = re.compile(r"(\w+\.)?p\d+")


def refusal(name: str) -> str:
    """Say why a name is no metric that can be added up, and what to write instead."""
    if name in REFUSED:
        return REFUSED[name]
    if _PERCENTILE.fullmatch(name):
        return "is a percentile, and percentiles do not add up; ask for the metric itself, such as tHandle: its count and its sum"
    return f"is no metric of the vendor's{near(name, METRICS)}; accepted: {_ACCEPTED}"
