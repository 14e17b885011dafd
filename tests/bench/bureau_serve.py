"""Many emulated organisations in one process: `python -m tests.bench.bureau_serve 500 300`.

The arguments are how many, and the requests a minute that each allows (0: no limit). Each has a
port and tokens of its own; all have the same people, so that memory does not grow with them.
Owns its sockets.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from contextlib import AsyncExitStack

from asyncreport.emulator import Emulator, Options, World

#: users of each organisation
AGENTS = 4


async def main(organisations: int, requests_per_minute: int) -> None:
    """Print the addresses as one JSON line; serve until the end of standard input."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    world = World(AGENTS, 1)
    options = Options(requests_per_minute=requests_per_minute)
    ended = asyncio.Event()
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(Emulator(world, options)) for _ in range(organisations)
        ]
        sys.stdout.write(json.dumps([each.url for each in running]) + "\n")
        sys.stdout.flush()
        asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
