"""The work of one agent's or one queue's day, invented from a seed: sessions and what each of them emits, when. Pure.

The vendor stamps a metric's whole value on the one instant at which it is emitted:
https://help.mypurecloud.com/glossary/handle-time/
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from asyncreport.emulator import people
from asyncreport.emulator.people import Person, Queue

_MINUTE = 60_000
_HOUR = 60 * _MINUTE
_EPOCH = date(1970, 1, 1)

_MEDIA = ("voice", "message", "email", "callback", "chat")
#: ms of talk beyond a minute, on average
_MEAN_TALK = {
    "voice": 200_000,
    "message": 420_000,
    "email": 350_000,
    "callback": 180_000,
    "chat": 300_000,
}
_LONGEST_TALK = 90 * _MINUTE
_WRAP_UPS = ("resolved", "follow-up", "wrong-department", "sold")
#: ms until the answer that the service level promises
_TARGET = 20_000

#: instant, metric, ms (None: a counter)
Event = tuple[int, str, int | None]
#: presence or status, start, end
Stretch = tuple[str, int, int]


class Session(Struct, frozen=True, kw_only=True, gc=False):
    """One agent's (or, without user, one queue's) share in a conversation, and what it emits."""

    conversation_id: str
    #: None: nobody answered
    user_id: str | None
    #: None: dialled directly
    queue_id: str | None
    media_type: str
    direction: str
    division_id: str
    wrap_up_code: str | None = None
    #: of messages only
    message_type: str | None = None
    events: tuple[Event, ...]


class Workday(Struct, frozen=True, gc=False):
    """One agent's day."""

    sessions: tuple[Session, ...] = ()
    #: one after another without a gap; before and after them the agent is logged out
    presences: tuple[Stretch, ...] = ()


def workday(seed: int, person: Person, day: int) -> Workday:
    """Invent an agent's day (counted from 1970-01-01), which begins on that day of the organisation's zone."""
    rng = random.Random(f"{seed}/{person.id}/{day}")
    if not person.works_on(day):
        return Workday()
    if rng.random() < 0.06:  # ill, on holiday, in training
        return _absence(_chance(seed, person, day), _local(day, person.shift))
    at = begin = _local(day, person.shift) + rng.randrange(9 * _MINUTE)
    end = at + rng.randrange(7 * _HOUR, 8 * _HOUR)
    lunch = at + rng.randrange(3 * _HOUR, 4 * _HOUR)
    found, meal = [], (end, end)
    while at < end:
        session, busy = _session(rng, person, at)
        found.append(session)
        at += busy + int(rng.expovariate(1 / 300_000)) + 5_000
        if lunch <= at < end:
            meal = at, at + rng.randrange(25 * _MINUTE, 45 * _MINUTE)
            at, lunch = meal[1], end
    off = max(end, *meal, *(moment for session in found for moment, _, _ in session.events))
    return Workday(tuple(found), _presences(_chance(seed, person, day), begin, meal, off))


def _presences(
    chance: random.Random, begin: int, meal: tuple[int, int], off: int
) -> tuple[Stretch, ...]:
    on = begin - chance.randrange(4 * _MINUTE)
    edges = (
        on - chance.randrange(_MINUTE, 12 * _MINUTE),
        on,
        *meal,
        off,
        off + chance.randrange(_MINUTE, 15 * _MINUTE),
    )
    names = ("AVAILABLE", "ON_QUEUE", "MEAL", "ON_QUEUE", "AVAILABLE")
    return tuple(
        stretch for stretch in zip(names, edges, edges[1:], strict=False) if stretch[1] < stretch[2]
    )


def _absence(chance: random.Random, begin: int) -> Workday:
    """Spend some days without work in a training room, and the others not logged in at all."""
    if chance.random() < 0.6:
        return Workday()
    return Workday(presences=(("TRAINING", begin, begin + chance.randrange(4 * _HOUR, 7 * _HOUR)),))


def _chance(seed: int, person: Person, day: int) -> random.Random:
    """Give what presences are drawn from: chance of their own, so that the sessions stay what they were before there were presences."""
    return random.Random(f"{seed}/{person.id}/{day}/presences")


def abandoned(seed: int, queue: Queue, day: int) -> tuple[Session, ...]:
    """Invent the calls that nobody answered."""
    rng = random.Random(f"{seed}/{queue.id}/{day}")
    weekend = (day + 3) % 7 > 4
    opening = _local(day, 8)
    return tuple(
        _abandoned(rng, queue, opening + rng.randrange(12 * _HOUR))
        for _ in range(rng.randrange(3 if weekend else 12))
    )


def _local(day: int, hour: int) -> int:
    """Give the instant of a full hour of a day in the organisation's zone."""
    on = _EPOCH + timedelta(days=day)
    moment = datetime(on.year, on.month, on.day, hour, tzinfo=ZoneInfo(people.ZONE))
    return int(moment.astimezone(UTC).timestamp()) * 1000


def _session(rng: random.Random, person: Person, at: int) -> tuple[Session, int]:
    """Invent one session that reaches an agent at an instant; give with it the ms until the agent is free."""
    media = rng.choices(_MEDIA, cum_weights=person.media)[0]
    kind = rng.random()
    queue: Queue | None = rng.choice(person.queues)
    if media == "voice" and kind < 0.14:
        queue = queue if kind < 0.10 else None
        direction, events, busy = "outbound", *_outbound(rng, person, at)
    elif media == "voice" and kind < 0.17:
        queue, direction, events, busy = None, "inbound", *_direct(rng, person, at)
    elif kind > 0.97:
        direction, events, busy = "inbound", *_missed(rng, at)
    else:
        direction = "outbound" if media == "callback" else "inbound"
        events, busy = _queued(rng, person, at, media)
    session = Session(
        conversation_id=_conversation_id(rng),
        user_id=person.id,
        queue_id=queue.id if queue else None,
        media_type=media,
        direction=direction,
        division_id=(queue.division if queue else person.division).id,
        wrap_up_code=rng.choice(_WRAP_UPS) if queue and kind <= 0.97 else None,
        message_type=rng.choice(("webmessaging", "whatsapp")) if media == "message" else None,
        events=tuple(events),
    )
    return session, busy * 2 // 5 if media in (
        "message",
        "chat",
    ) else busy  # those run side by side


def _queued(rng: random.Random, person: Person, at: int, media: str) -> tuple[list[Event], int]:
    """Answer an interaction that a queue offered."""
    wait, alert = int(rng.expovariate(1 / 40_000)) + 700, rng.randrange(900, 14_000)
    answer = at + alert
    events: list[Event] = [
        (at - wait, "nOffered", None),
        (answer, "tAlert", alert),
        (answer, "nConnected", None),
    ]
    if rng.random() > 0.06:  # who gets a transferred call handles without having answered
        events.append((answer, "tAnswered", wait + alert))
    events += [(at, "tAcd", wait), (answer, "tWait", wait + alert)]
    if wait + alert > _TARGET:
        events.append((answer, "nOverSla", None))
    dial, contact = (
        (rng.randrange(2_000, 30_000), rng.randrange(500, 20_000))
        if media == "callback"
        else (0, 0)
    )
    hold = (
        int(rng.expovariate(1 / 50_000)) + 3_001
        if media in ("voice", "callback") and rng.random() < 0.25
        else 0
    )
    spent = _handled(
        rng, answer + dial + contact, (_talk(rng, person, media), hold, dial, contact), events
    )
    return events, alert + dial + contact + spent


def _outbound(rng: random.Random, person: Person, at: int) -> tuple[list[Event], int]:
    """Dial a customer, who may not answer: such a try is handled without ever having talked."""
    dial, contact = rng.randrange(3_000, 40_000), rng.randrange(800, 25_000)
    events: list[Event] = [(at, "nOutbound", None), (at, "nOutboundAttempted", None)]
    reached = rng.random() > 0.35
    if reached:
        events += [
            (at + dial + contact, "nOutboundConnected", None),
            (at + dial + contact, "nConnected", None),
        ]
    talk = _talk(rng, person, "voice") if reached else 0
    spent = _handled(rng, at + dial + contact, (talk, 0, dial, contact), events)
    return events, dial + contact + spent


def _direct(rng: random.Random, person: Person, at: int) -> tuple[list[Event], int]:
    """Take a call that no queue offered; it has no after-call work."""
    alert, talk = rng.randrange(900, 14_000), _talk(rng, person, "voice")
    hang_up = at + alert + talk
    events: list[Event] = [(at + alert, "tAlert", alert), (at + alert, "nConnected", None)]
    events += [
        (hang_up, "tTalk", talk),
        (hang_up, "tTalkComplete", talk),
        (hang_up, "tHandle", talk),
    ]
    return events, alert + talk


def _missed(rng: random.Random, at: int) -> tuple[list[Event], int]:
    """Let an interaction ring until it goes to someone else."""
    alert = rng.randrange(15_000, 31_000)
    missed = rng.randrange(4_000, 60_000)
    return [
        (at + alert, "tAlert", alert),
        (at + alert + missed, "tNotResponding", missed),
    ], alert + missed


def _handled(
    rng: random.Random, begin: int, parts: tuple[int, int, int, int], events: list[Event]
) -> int:
    """Add what a session emits from the first word on; give the ms from there to the end of after-call work.

    Talk and hold are usually emitted with the handle when after-call work ends, and now and then at the hang-up already:
    then the handle may lie in a later bucket than they do. A call on hold talks in two stretches.
    """
    talk, hold, dial, contact = parts
    hang_up = begin + talk + hold
    wrap_up = int(rng.expovariate(1 / 45_000)) + 1_003 if rng.random() < 0.9 else 0
    end = hang_up + wrap_up
    done = hang_up if rng.random() < 0.3 else end
    if hold:
        before = talk * rng.randrange(20, 80) // 100
        events += [
            (begin + before, "tTalk", before),
            (begin + before + hold, "tHeld", hold),
            (hang_up, "tTalk", talk - before),
        ]
        events.append((done, "tHeldComplete", hold))
    elif talk:
        events.append((hang_up, "tTalk", talk))
    if talk:
        events.append((done, "tTalkComplete", talk))
        if rng.random() < 0.08:
            blind = rng.randrange(1, 3) == 2
            names = (
                ("nTransferred", "nBlindTransferred")
                if blind
                else ("nTransferred", "nConsult", "nConsultTransferred")
            )
            events += [(hang_up, name, None) for name in names]
    events += [
        (end, name, value)
        for name, value in (("tDialing", dial), ("tContacting", contact), ("tAcw", wrap_up))
        if value
    ]
    events.append((end, "tHandle", talk + hold + wrap_up + dial + contact))
    return talk + hold + wrap_up


def _abandoned(rng: random.Random, queue: Queue, at: int) -> Session:
    waited = int(rng.expovariate(1 / 70_000)) + 1_500
    return Session(
        conversation_id=_conversation_id(rng),
        user_id=None,
        queue_id=queue.id,
        media_type="voice" if rng.random() < 0.8 else "chat",
        direction="inbound",
        division_id=queue.division.id,
        events=(
            (at, "nOffered", None),
            *((at + waited, name, waited) for name in ("tAbandon", "tAcd", "tWait")),
        ),
    )


def _talk(rng: random.Random, person: Person, media: str) -> int:
    return min(
        int(
            (rng.expovariate(1 / _MEAN_TALK[media]) + 30_000 + rng.randrange(30_000)) * person.pace
        ),
        _LONGEST_TALK,
    )


def _conversation_id(rng: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
