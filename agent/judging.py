"""The judge that the settings name, for the commands that score."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.settings import settings
from crm.scoring.controls import ProvenJudge
from crm.scoring.judge import Judge


@asynccontextmanager
async def settings_judge() -> AsyncIterator[ProvenJudge | None]:
    """Yield the judge, which has yet to prove itself; None where none is set."""
    given = settings()
    if not given.judge_base_url:
        yield None
        return
    key = given.judge_api_key.get_secret_value()
    judge = Judge(given.judge_base_url, given.judge_model, key, given.judge_timeout_s)
    try:
        yield ProvenJudge(judge, given.data_dir)
    finally:
        await judge.close()
