"""Jobs that run in a loop, and do what they are told; required beside `mischief`."""

import ast
import inspect
import types

from jobd import Job
from tests.support.sample_jobs import record


class DoAsync(Job):
    """Runs some Python, which may await; what it raises goes on."""

    async def perform(self, source: str) -> None:
        record("start", "DoAsync", self.jid, [])
        code = compile(source, "mischief", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        run = types.FunctionType(code, {"__name__": "mischief", "job": self})
        if inspect.iscoroutine(coroutine := run()):
            await coroutine
        record("done", "DoAsync", self.jid, [])
