"""One interaction of an agent or a queue: what happens in it, and what it emits when. Pure.

The vendor gives the whole value of a metric to the one instant at which it is emitted:
https://help.mypurecloud.com/glossary/handle-time/
Every draw comes from the caller's random numbers, in a fixed order: another order is another world.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from msgspec import Struct

from asyncreport.emulator.labels import WRAP_UPS, language_of, skill_of
from asyncreport.emulator.people import Person, Queue

_MINUTE = 60_000
MEDIA = ("voice", "message", "email", "callback", "chat")
#: an agent has several of these at the same time
_SIDE_BY_SIDE = ("message", "chat")
#: ms of talk beyond a minute, on average
_MEAN_TALK = {
    "voice": 200_000,
    "message": 420_000,
    "email": 350_000,
    "callback": 180_000,
    "chat": 300_000,
}
_LONGEST_TALK = 90 * _MINUTE
_MESSAGE_TYPES = ("webmessaging", "whatsapp")
#: ms until the answer that the service level promises
_SERVICE_TARGET = 20_000

#: ms since 1970-01-01T00:00Z, metric, ms (None: a counter)
Event = tuple[int, str, int | None]


class Session(Struct, frozen=True, kw_only=True, gc=False):
    """The part of one agent (or, without a user, of one queue) in a conversation."""

    conversation_id: str
    #: None: nobody answered
    user_id: str | None
    #: None: dialled directly
    queue_id: str | None
    media_type: str
    direction: str
    division_id: str
    wrap_up_code: str | None = None
    skill_id: str | None = None
    language_id: str | None = None
    #: of messages only
    message_type: str | None = None
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """How an interaction goes."""

    queue: Queue | None
    direction: str = "inbound"
    events: list[Event]
    #: ms until the agent is free again
    busy_ms: int
    missed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Handling:
    """What an agent handles, but after-call work; `start` is an instant, the others are in ms."""

    start: int
    dial: int = 0
    contact: int = 0
    talk: int
    hold: int = 0

    @property
    def connected(self) -> int:
        """Return the instant at which talk begins."""
        return self.start + self.dial + self.contact

    @property
    def hang_up(self) -> int:
        """Return the instant at which after-call work begins."""
        return self.connected + self.talk + self.hold


def agent_session(rng: random.Random, person: Person, at: int) -> tuple[Session, int]:
    """Invent the session that reaches an agent at an instant; return also the ms it takes."""
    media = rng.choices(MEDIA, cum_weights=person.media)[0]
    course = _course(rng, person, media, at)
    session = _session(rng, person, media, course)
    if media in _SIDE_BY_SIDE:
        return session, course.busy_ms * 2 // 5
    return session, course.busy_ms


def _session(rng: random.Random, person: Person, media: str, course: _Course) -> Session:
    """Describe an agent's part in an interaction."""
    queue = course.queue
    division = person.division if queue is None else queue.division
    return Session(
        conversation_id=_conversation_id(rng),
        user_id=person.id,
        queue_id=None if queue is None else queue.id,
        media_type=media,
        direction=course.direction,
        division_id=division.id,
        wrap_up_code=_wrap_up_code(rng, course),
        skill_id=skill_of(queue),
        language_id=language_of(queue),
        message_type=rng.choice(_MESSAGE_TYPES) if media == "message" else None,
        events=tuple(course.events),
    )


def _wrap_up_code(rng: random.Random, course: _Course) -> str | None:
    if course.queue is None or course.missed:
        return None
    return rng.choice(WRAP_UPS).id


def abandoned_session(rng: random.Random, queue: Queue, at: int) -> Session:
    """Invent an interaction that nobody answered."""
    waited = int(rng.expovariate(1 / 70_000)) + 1_500
    left = at + waited
    return Session(
        conversation_id=_conversation_id(rng),
        user_id=None,
        queue_id=queue.id,
        media_type="voice" if rng.random() < 0.8 else "chat",
        direction="inbound",
        division_id=queue.division.id,
        events=(
            (at, "nOffered", None),
            (left, "tAbandon", waited),
            (left, "tAcd", waited),
            (left, "tWait", waited),
        ),
    )


def _course(rng: random.Random, person: Person, media: str, at: int) -> _Course:
    """Choose what kind of interaction it is, and let it happen."""
    chance = rng.random()
    queue = rng.choice(person.queues)
    if media == "voice" and chance < 0.10:
        return _outbound(rng, person, queue, at)
    if media == "voice" and chance < 0.14:
        return _outbound(rng, person, None, at)
    if media == "voice" and chance < 0.17:
        return _direct(rng, person, at)
    if chance > 0.97:
        return _missed(rng, queue, at)
    return _queued(rng, person, queue, media, at)


def _queued(rng: random.Random, person: Person, queue: Queue, media: str, at: int) -> _Course:
    """Answer an interaction that a queue offered."""
    wait = int(rng.expovariate(1 / 40_000)) + 700
    alert = rng.randrange(900, 14_000)
    events = _answer_events(rng, at, wait, alert)
    handling = _queued_handling(rng, person, media, at + alert)
    end = _handle(rng, handling, events)
    return _Course(
        queue=queue,
        direction="outbound" if media == "callback" else "inbound",
        events=events,
        busy_ms=end - at,
    )


def _queued_handling(rng: random.Random, person: Person, media: str, answer: int) -> _Handling:
    """Invent how long an answered interaction takes."""
    dial = contact = hold = 0
    if media == "callback":
        dial = rng.randrange(2_000, 30_000)
        contact = rng.randrange(500, 20_000)
    if media in ("voice", "callback") and rng.random() < 0.25:
        hold = int(rng.expovariate(1 / 50_000)) + 3_001
    talk = _talk_ms(rng, person, media)
    return _Handling(start=answer, dial=dial, contact=contact, talk=talk, hold=hold)


def _answer_events(rng: random.Random, at: int, wait: int, alert: int) -> list[Event]:
    """Emit what happens until an offered interaction is answered; it reaches the agent at `at`."""
    answer = at + alert
    events: list[Event] = [
        (at - wait, "nOffered", None),
        (answer, "tAlert", alert),
        (answer, "nConnected", None),
    ]
    if rng.random() > 0.06:  # the agent who gets a transferred call handles, but does not answer
        events.append((answer, "tAnswered", wait + alert))
    events.append((at, "tAcd", wait))
    events.append((answer, "tWait", wait + alert))
    if wait + alert > _SERVICE_TARGET:
        events.append((answer, "nOverSla", None))
    return events


def _outbound(rng: random.Random, person: Person, queue: Queue | None, at: int) -> _Course:
    """Dial a customer. If nobody answers, the attempt is handled without any talk."""
    dial = rng.randrange(3_000, 40_000)
    contact = rng.randrange(800, 25_000)
    answered = rng.random() > 0.35
    talk = _talk_ms(rng, person, "voice") if answered else 0
    handling = _Handling(start=at, dial=dial, contact=contact, talk=talk)
    events = _dial_events(handling, answered=answered)
    end = _handle(rng, handling, events)
    return _Course(queue=queue, direction="outbound", events=events, busy_ms=end - at)


def _dial_events(handling: _Handling, *, answered: bool) -> list[Event]:
    """Emit what happens until a dialled customer answers, or does not."""
    events: list[Event] = [
        (handling.start, "nOutbound", None),
        (handling.start, "nOutboundAttempted", None),
    ]
    if answered:
        events.append((handling.connected, "nOutboundConnected", None))
        events.append((handling.connected, "nConnected", None))
    return events


def _direct(rng: random.Random, person: Person, at: int) -> _Course:
    """Take a call that no queue offered; it has no after-call work."""
    alert = rng.randrange(900, 14_000)
    talk = _talk_ms(rng, person, "voice")
    answer = at + alert
    hang_up = answer + talk
    events: list[Event] = [
        (answer, "tAlert", alert),
        (answer, "nConnected", None),
        (hang_up, "tTalk", talk),
        (hang_up, "tTalkComplete", talk),
        (hang_up, "tHandle", talk),
    ]
    return _Course(queue=None, events=events, busy_ms=alert + talk)


def _missed(rng: random.Random, queue: Queue, at: int) -> _Course:
    """Let an interaction ring until it goes to another agent."""
    alert = rng.randrange(15_000, 31_000)
    not_responding = rng.randrange(4_000, 60_000)
    busy = alert + not_responding
    events: list[Event] = [
        (at + alert, "tAlert", alert),
        (at + busy, "tNotResponding", not_responding),
    ]
    return _Course(queue=queue, events=events, busy_ms=busy, missed=True)


def _handle(rng: random.Random, handling: _Handling, events: list[Event]) -> int:
    """Add what a session emits after it is connected; return the instant of its end.

    Talk and hold are usually emitted together with the handle, when after-call work ends. Sometimes
    they are emitted at the hang-up: then the handle may be in a later bucket than they are.
    """
    wrap_up = _wrap_up_ms(rng)
    end = handling.hang_up + wrap_up
    _add_talk(rng, handling, handling.hang_up if rng.random() < 0.3 else end, events)
    for metric, value in (
        ("tDialing", handling.dial),
        ("tContacting", handling.contact),
        ("tAcw", wrap_up),
    ):
        if value:
            events.append((end, metric, value))
    events.append((end, "tHandle", end - handling.start))
    return end


def _add_talk(
    rng: random.Random, handling: _Handling, complete_at: int, events: list[Event]
) -> None:
    """Add talk and hold; their sums are emitted at `complete_at`."""
    if handling.hold:
        _add_talk_and_hold(rng, handling, events)
        events.append((complete_at, "tHeldComplete", handling.hold))
    elif handling.talk:
        events.append((handling.hang_up, "tTalk", handling.talk))
    if handling.talk:
        events.append((complete_at, "tTalkComplete", handling.talk))
        if rng.random() < 0.08:
            _add_transfer(rng, handling.hang_up, events)


def _add_talk_and_hold(rng: random.Random, handling: _Handling, events: list[Event]) -> None:
    """Add two stretches of talk, with a hold between them."""
    before = handling.talk * rng.randrange(20, 80) // 100
    hold_begin = handling.connected + before
    events += [
        (hold_begin, "tTalk", before),
        (hold_begin + handling.hold, "tHeld", handling.hold),
        (handling.hang_up, "tTalk", handling.talk - before),
    ]


def _wrap_up_ms(rng: random.Random) -> int:
    if rng.random() < 0.9:
        return int(rng.expovariate(1 / 45_000)) + 1_003
    return 0


def _add_transfer(rng: random.Random, at: int, events: list[Event]) -> None:
    events.append((at, "nTransferred", None))
    if rng.randrange(1, 3) == 2:
        events.append((at, "nBlindTransferred", None))
        return
    events.append((at, "nConsult", None))
    events.append((at, "nConsultTransferred", None))


def _talk_ms(rng: random.Random, person: Person, media: str) -> int:
    usual = rng.expovariate(1 / _MEAN_TALK[media]) + 30_000 + rng.randrange(30_000)
    return min(int(usual * person.pace), _LONGEST_TALK)


def _conversation_id(rng: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
