"""Serve the emulator until a signal stops it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from asyncreport import emulator
from asyncreport.core.errors import ConfigError
from asyncreport.terminal.signals import Stopped, run_until_signal
from asyncreport.terminal.stderr import say
from asyncreport.terminal.stdout import show


def execute(
    *,
    port: int,
    agents: int,
    seed: int,
    requests_per_minute: int,
    latency: float,
    denied: Sequence[str] = (),
    faults: Sequence[str] = (),
) -> None:
    """Serve an emulated organisation and print its address; `latency` is in seconds.

    `denied` are permissions, `faults` rules in JSON. Raise ConfigError for an unknown permission,
    an invalid rule, or a port that cannot be used.
    """
    world = emulator.World(agents=agents, seed=seed)
    _check_permissions(world, denied)
    script = _script(faults)
    options = emulator.Options(
        requests_per_minute=requests_per_minute,
        latency=latency,
        denied=tuple(denied),
    )

    def up(server: emulator.Emulator) -> None:
        server.faults = script
        _show_address(server)
        _show_first_steps(server)

    _serve(world, options, port, up)


def _serve(
    world: emulator.World,
    options: emulator.Options,
    port: int,
    up: Callable[[emulator.Emulator], None],
) -> None:
    """Serve until a signal; raise ConfigError if the port cannot be used."""
    try:
        run_until_signal(emulator.serve(world, options, port=port, up=up))
    except Stopped:
        # A signal is the usual end of this command.
        return
    except BrokenPipeError:
        # Of stdout, not of the port: nobody reads the address.
        raise
    except OSError as error:
        raise _unusable(port, error) from error


def _check_permissions(world: emulator.World, denied: Sequence[str]) -> None:
    """Raise ConfigError for a permission that no request needs: to deny it would do nothing."""
    known = emulator.Cloud(world).permissions
    for permission in denied:
        if permission not in known:
            raise ConfigError(
                f"--deny: no request needs the permission {permission}; "
                f"accepted: {', '.join(known)}"
            )


def _script(rules: Sequence[str]) -> emulator.Faults:
    """Read the rules of --fault; raise ConfigError for an invalid one."""
    try:
        return emulator.Faults([json.loads(rule) for rule in rules])
    except ValueError as error:
        raise ConfigError(
            f"--fault: {error}; a rule is JSON with match and do, "
            'such as {"match": {"path": "aggregates", "every": 3}, "do": {"status": 503}}'
        ) from error


def _unusable(port: int, error: OSError) -> ConfigError:
    """Make the error for a port that cannot be used."""
    return ConfigError(
        f"--port: cannot serve port {port} of 127.0.0.1: {error.strerror}; "
        "use another port, or 0 for a free one"
    )


def _show_address(server: emulator.Emulator) -> None:
    """Print what a client needs, as one line of JSON."""
    address = {
        "url": server.url,
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    show(json.dumps(address))


def _show_first_steps(server: emulator.Emulator) -> None:
    """Say how a job file uses the emulator, and how to stop it."""
    say("an emulated organisation is ready; press Ctrl-C to stop it.")
    say("`asyncreport init` asks for this url, id and secret. For a job file:")
    say("")
    say("connections:")
    say("  default:")
    say(f"    api_url: {server.url}")
    say(f"    login_url: {server.url}")
    say(f"    client_id: {server.client_id}")
    say(f"    client_secret: {server.client_secret}")
    say("teams:")
    for team in server.cloud.rosters.of("team"):
        name = json.dumps(team.name)
        say(f"  - {{name: {name}, team: {name}}}")
