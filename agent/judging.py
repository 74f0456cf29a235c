"""The judge that the settings name, for the commands that score."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import typer

from agent.settings import settings
from crm.errors import JudgeUnavailable
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


async def proven(judge: ProvenJudge | None, otherwise: str) -> ProvenJudge | None:
    """Return the judge once it has proved itself; tell why it may not judge, and what is done ``otherwise``."""
    if judge:
        try:
            await judge.prove()
        except JudgeUnavailable as error:
            typer.echo(f"{error} {otherwise}", err=True)
            return None
    return judge
