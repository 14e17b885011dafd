"""Tokens: one fetch at a time, renewal in time; a revoked token is not a refused client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asyncreport.api.oauth import Grant
from asyncreport.core.errors import AuthError, RetriesExhausted, TransientError
from asyncreport.core.secret import Secret
from asyncreport.net.tokens import REFUSALS, Tokens
from tests.clock import run

REFUSAL = TransientError("POST /x [correlation id c-1]: 401 bad.credentials: No", status=401)


def granting(
    fetched: list[float], *, life: float = 86_400.0, takes: float = 1.0
) -> Callable[[], Awaitable[Grant]]:
    """Grant `token-1`, `token-2`, ... and note when each was requested."""

    async def fetch() -> Grant:
        fetched.append(asyncio.get_running_loop().time())
        number = len(fetched)
        await asyncio.sleep(takes)
        return Grant(Secret(f"token-{number}"), life)

    return fetch


def test_sixteen_workers_at_once_fetch_one_token() -> None:
    fetched: list[float] = []

    async def main() -> None:
        tokens = Tokens(granting(fetched))
        got = await asyncio.gather(*(tokens.get() for _ in range(16)))
        assert {token.reveal() for token in got} == {"token-1"}

    run(main())
    assert len(fetched) == 1


def test_sixteen_workers_whose_token_was_refused_fetch_one_new_token() -> None:
    """Late refusals of the old token do not drop the new one."""
    fetched: list[float] = []

    async def main() -> None:
        tokens = Tokens(granting(fetched))
        old = await tokens.get()

        async def worker(number: int) -> str:
            await asyncio.sleep(
                number / 4
            )  # some refusals come before the new token, some after it
            tokens.refuse(old, REFUSAL)
            return (await tokens.get()).reveal()

        assert set(await asyncio.gather(*(worker(number) for number in range(16)))) == {"token-2"}

    run(main())
    assert len(fetched) == 2


@pytest.mark.parametrize(
    ("life", "renewed_at"), [(86_400, 86_340), (600, 540), (300, 270), (10, 9)]
)
def test_a_token_is_renewed_a_minute_or_a_tenth_of_its_lifetime_before_its_end(
    life: float, renewed_at: float
) -> None:
    fetched: list[float] = []

    async def main() -> None:
        tokens = Tokens(granting(fetched, life=life, takes=0))
        first = await tokens.get()
        await asyncio.sleep(renewed_at - 0.1)
        assert tokens.current(first)
        assert await tokens.get() is first
        await asyncio.sleep(0.2)
        assert not tokens.current(first)
        assert await tokens.get() is not first

    run(main())
    assert len(fetched) == 2


def test_a_server_that_grants_the_same_text_twice_has_granted_two_tokens() -> None:
    async def fetch() -> Grant:
        return Grant(Secret("same"), 300.0)

    async def main() -> None:
        tokens = Tokens(fetch)
        first = await tokens.get()
        tokens.refuse(first, REFUSAL)
        second = await tokens.get()
        tokens.refuse(first, REFUSAL)
        assert tokens.current(second)

    run(main())


def test_ten_tokens_refused_in_a_row_refuse_the_client() -> None:
    async def main() -> None:
        tokens = Tokens(granting([]))
        for _ in range(REFUSALS - 1):
            tokens.refuse(await tokens.get(), REFUSAL)
        last = await tokens.get()
        with pytest.raises(
            AuthError,
            match=r"^POST /x: 401 bad.credentials: No; 10 tokens .* \[correlation id c-1\]$",
        ) as caught:
            tokens.refuse(last, REFUSAL)
        assert caught.value.__cause__ is REFUSAL
        assert "token-" not in str(caught.value)

    run(main())


def test_another_response_in_between_starts_the_count_again() -> None:
    fetched: list[float] = []

    async def main() -> None:
        tokens = Tokens(granting(fetched))
        for _ in range(5):
            for _ in range(REFUSALS - 1):
                tokens.refuse(await tokens.get(), REFUSAL)
            await tokens.get()
            tokens.accept()

    run(main())
    assert len(fetched) == 5 * (REFUSALS - 1) + 1


def test_a_failed_fetch_is_raised_to_all_that_wait_and_tried_again_a_minute_later() -> None:
    """Otherwise each of them would try for as long, one after the other."""
    answers: list[Grant | RetriesExhausted] = [RetriesExhausted("no"), Grant(Secret("good"), 300.0)]

    async def fetch() -> Grant:
        await asyncio.sleep(1)
        answer = answers.pop(0)
        if isinstance(answer, RetriesExhausted):
            raise answer
        return answer

    async def main() -> None:
        tokens = Tokens(fetch)
        failures = await asyncio.gather(
            tokens.get(), tokens.get(), tokens.get(), return_exceptions=True
        )
        assert [str(failure) for failure in failures] == ["no"] * 3
        assert asyncio.get_running_loop().time() < 1.1
        await asyncio.sleep(60)
        assert await tokens.get() == Secret("good")

    run(main())


def test_a_token_that_could_not_be_renewed_is_sent_while_it_is_usable() -> None:
    answers: list[Grant | RetriesExhausted] = [
        Grant(Secret("old"), 600.0),
        RetriesExhausted("no"),
        Grant(Secret("new"), 600.0),
    ]

    async def fetch() -> Grant:
        answer = answers.pop(0)
        if isinstance(answer, RetriesExhausted):
            raise answer
        return answer

    async def main() -> None:
        tokens = Tokens(fetch)
        await tokens.get()
        await asyncio.sleep(541)
        assert [await tokens.get() for _ in range(2)] == [Secret("old")] * 2
        await asyncio.sleep(30)
        with pytest.raises(RetriesExhausted):
            await tokens.get()
        await asyncio.sleep(31)
        assert await tokens.get() == Secret("new")

    run(main())


@pytest.mark.parametrize("victim", [0, 1, 2])
@pytest.mark.parametrize("after", [0.0, 0.5, 1.0, 1.5])
def test_a_cancelled_waiter_takes_no_token_from_the_others(victim: int, after: float) -> None:
    fetched: list[float] = []

    async def main() -> None:
        tokens = Tokens(granting(fetched))
        waiters = [asyncio.create_task(tokens.get()) for _ in range(3)]
        await asyncio.sleep(after)
        waiters[victim].cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        assert [task.cancelled() for task in waiters].count(False) >= 2
        assert len({task.result().reveal() for task in waiters if not task.cancelled()}) == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())
    assert len(fetched) <= 2, "one more where the victim was the one who fetched"


def test_a_token_in_renewal_is_sent_for_half_of_its_remaining_time() -> None:
    answers = [Grant(Secret("old"), 600.0), Grant(Secret("new"), 600.0)]
    takes = [0.0, 50.0]

    async def fetch() -> Grant:
        await asyncio.sleep(takes.pop(0))
        return answers.pop(0)

    async def main() -> None:
        tokens = Tokens(fetch)
        await tokens.get()
        await asyncio.sleep(541)
        renewing = asyncio.create_task(tokens.get())
        await asyncio.sleep(1)
        assert await tokens.get() == Secret("old"), "without waiting for the renewal"
        assert tokens.usable == Secret("old")
        await asyncio.sleep(29)
        assert tokens.usable is None
        assert await tokens.get() == await renewing == tokens.usable == Secret("new")

    run(main())


def test_a_refused_client_is_refused_once_for_all_that_wait_and_again_after_a_minute() -> None:
    asked = 0

    async def main() -> None:
        async def fetch() -> Grant:
            nonlocal asked
            asked += 1
            await asyncio.sleep(1)
            raise AuthError("POST /oauth/token: 400 invalid_client")

        tokens = Tokens(fetch)
        for times in (1, 2):
            ends = await asyncio.gather(*(tokens.get() for _ in range(16)), return_exceptions=True)
            assert {str(end) for end in ends if isinstance(end, AuthError)} == {
                "POST /oauth/token: 400 invalid_client"
            }
            assert (len(ends), asked) == (16, times)
            await asyncio.sleep(61)

    run(main())
