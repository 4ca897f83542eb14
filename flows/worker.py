"""The process that syncs, as seen from `assay serve`: asked over a pipe, started again when it died, ended with its children."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson

from flows.batching import Outcome
from flows.running import DEFAULTS

ROOT = Path(__file__).parents[1]
KILL_GRACE = 1.0  # seconds between asking it to end and the next, firmer way
MOST_ANSWER = 2**20  # bytes; an answer is a few words


@dataclass
class Worker:
    """Runs `python -m flows.syncing`, from the first job on."""

    process: asyncio.subprocess.Process | None = None

    async def ask(self, job: dict[str, str]) -> Outcome:
        try:
            process = self.process = self.process or await _start()
        except OSError as error:  # no memory, too many processes
            return Outcome("failed", kind="WorkerNotStarted", message=f"The process that syncs does not start: {error}.")
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(ConnectionError):  # it has died: the answer below is empty
            process.stdin.write(orjson.dumps(job) + b"\n")
            await process.stdin.drain()
        line = await process.stdout.readline()
        if line:
            return Outcome(**orjson.loads(line))
        await self.close(KILL_GRACE)
        code = process.returncode
        return Outcome("failed", kind="WorkerStopped", message=f"The process that syncs ended (exit code {code}): see above.")

    async def close(self, patience: float) -> None:
        """Ends it: by the end of its input, after `patience` seconds with a signal, at last by force; with all its children."""
        process, self.process = self.process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        for number, limit in ((None, patience), (signal.SIGTERM, KILL_GRACE), (signal.SIGKILL, KILL_GRACE)):
            if number is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), limit)
                if process.returncode == 0:
                    return


async def _start() -> asyncio.subprocess.Process:
    """In a session of its own: Ctrl-C is for us to answer. It does not get the secret, for which it has no use."""
    kept = {name: value for name, value in os.environ.items() if name != "ASSAY_WEBHOOK_SECRET"}
    # Each failure is told in one sentence already; Prefect's own record keeps the traceback.
    ours = {**DEFAULTS, "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "flows.syncing",  # -P: nothing in the current folder is taken for our code
        env={**ours, **kept, "PYTHONPATH": path}, start_new_session=True,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=MOST_ANSWER,
    )  # fmt: skip
