"""Runs cases and prints a line of JSON for each: {"case": …, "ok": true, false or null, "note": …}.

`ok` is null for what the client's API can't do.
"""

import json
import traceback

import anyio

# Nothing takes longer than this; a client that would wait for ever is told as such.
LIMIT_SECONDS = 60


class NotOffered(Exception):
    """The client's API has no way to do this."""


async def case(name, work):
    """Runs one case: `work` is an async function. What it returns is the note; what it raises is the failure."""
    try:
        with anyio.fail_after(LIMIT_SECONDS):
            tell(name, True, await work())
    except NotOffered as reason:
        tell(name, None, reason)
    except Exception as error:
        tell(name, False, f"{type(error).__name__}: {error} ({place(error)})")


def tell(name, ok, note):
    print(json.dumps({"case": name, "ok": ok, "note": str(note)}), flush=True)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def place(error):
    """Where in these scripts an error came up."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    return f"{frames[-1].name}, line {frames[-1].lineno}" if frames else "nowhere"
