"""The names that a conversation aggregates query may use, and what the emulated data know. Pure.

As of the vendor's SDK 270: `ConversationAggregationQuery` in
https://github.com/MyPureCloud/platform-client-sdk-dotnet
"""

from __future__ import annotations

from collections.abc import Callable

from asyncreport.emulator.sessions import Session

_GROUP_BY = """
    activeRouting activeSkillId addressFrom addressTo agentAssistantId agentBullseyeRing agentOwned
    agentRank agentScore ani assignerId authenticated conversationId conversationInitiator
    convertedFrom convertedTo customerParticipation deliveryStatus destinationAddress direction
    disconnectType divisionId dnis edgeId eligibleAgentCount errorCode extendedDeliveryStatus
    externalContactId externalMediaCount externalOrganizationId externalTag firstQueue flaggedReason
    flowInType flowOutType groupId interactionType journeyActionId journeyActionMapId
    journeyActionMapVersion journeyCustomerId journeyCustomerIdType journeyCustomerSessionId
    journeyCustomerSessionIdType knowledgeBaseId mediaCount mediaType messageType
    originatingDirection originatingSocialMediaPublic outboundCampaignId outboundContactId
    outboundContactListId participantName peerId proposedAgentId provider purpose queueId remote
    removedSkillId requestedLanguageId requestedRouting requestedRoutingSkillId roomId
    routingPriority routingRing routingRule routingRuleType scoredAgentId selectedAgentId
    selectedAgentRank selfServed sessionDnis sessionId skillExpressionId stationId teamId
    usedRouting userId videoPresent waitingInteractionCount wrapUpCode
"""

_METRICS = """
    nAgentDeclined nAlertExpired nBlindTransferred nBotInteractions nCallbackAttempts
    nCallbackOverSla nCallbackScheduled nCfcOffered nCobrowseSessions nConnected nConsult
    nConsultTransferred nConversations nError nOffered nOutbound nOutboundAbandoned
    nOutboundAttempted nOutboundConnected nOverSla nStateTransitionError nTakeover nTransferred
    oAudioMessageCount oCallbackServiceLevel oExternalAudioMessageCount oExternalMediaCount
    oMediaCount oMessageCount oMessageSegmentCount oMessageTurn oServiceLevel oServiceTarget
    oSkillExpressionApplications tAbandon tAcd tActiveCallback tActiveCallbackComplete tAcw
    tAgentResponseTime tAgentVideoConnected tAlert tAnswered tAverageAgentResponseTime
    tAverageCustomerResponseTime tBarging tCallbackAbandon tCallbackConnect tCallbackNotReached
    tCallbackVirtualWait tCfcAbandon tCfcAcd tCfcAnswered tCfcFlowOut tCoaching tCoachingComplete
    tConnected tContacting tDialing tFirstConnect tFirstDial tFirstEngagement tFirstResponse
    tFlowOut tHandle tHeld tHeldComplete tIvr tMonitoring tMonitoringComplete tNotResponding tPark
    tParkComplete tScreenMonitoring tShortAbandon tSnippetRecord tTalk tTalkComplete tTransmitting
    tUserResponseTime tVoicemail tWait
"""

GROUP_BY = frozenset(_GROUP_BY.split())
METRICS = frozenset(_METRICS.split())
#: predicates accept one more
PREDICATES = GROUP_BY | {"canonicalExternalContactId"}

#: what the emulated sessions know; every other dimension is absent from all of them
VALUES: dict[str, Callable[[Session], str | None]] = {
    "conversationId": lambda session: session.conversation_id,
    "userId": lambda session: session.user_id,
    "queueId": lambda session: session.queue_id,
    "mediaType": lambda session: session.media_type,
    "messageType": lambda session: session.message_type,
    "direction": lambda session: session.direction,
    "originatingDirection": lambda session: session.direction,
    "divisionId": lambda session: session.division_id,
    "wrapUpCode": lambda session: session.wrap_up_code,
    "activeSkillId": lambda session: session.skill_id,
    "requestedRoutingSkillId": lambda session: session.skill_id,
    "requestedLanguageId": lambda session: session.language_id,
    "interactionType": lambda _: "contactCenter",
    "purpose": lambda session: "agent" if session.user_id else "acd",
}


def reader_of(dimension: str) -> Callable[[Session], str | None]:
    """Return the function that reads a dimension of a session; None: the session has none."""
    return VALUES.get(dimension, lambda _: None)
