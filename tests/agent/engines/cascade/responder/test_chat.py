import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from agent.duplex import EngineUnavailable
from agent.engines.cascade.ports import Transcript, Word
from agent.engines.cascade.responder import make_responder
from agent.engines.cascade.responder.chat import ChatResponder, instructions
from agent.engines.cascade.responder.embedded import EmbeddedResponder

SILENCE_S = 0.3


def event(text: str | None = None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    return b"data: " + json.dumps({"choices": [{"delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"


DONE = event(finish="stop") + b"data: [DONE]\n\n"
STALL = b"stall"
TEAR = b"tear"


class Endpoint:
    """A chat endpoint over a real socket: answers each request with the next of ``answers``."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, list[bytes]]] = []
        self.bodies: list[dict] = []
        self.keys: list[str] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("post /v1/chat/completions ")
        fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
        self.keys.append(fields.get("authorization", ""))
        self.bodies.append(json.loads(await reader.readexactly(int(fields["content-length"]))))
        status, parts = self.answers.pop(0) if self.answers else (500, [])
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: text/event-stream\r\n".encode())
        writer.write(b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for part in parts:
            if part == STALL:
                await asyncio.sleep(4 * SILENCE_S)
            elif part == TEAR:
                writer.transport.abort()
                return
            else:
                writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                await writer.drain()
        writer.write(b"0\r\n\r\n")
        writer.close()


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
async def chat(endpoint: Endpoint, responder: EmbeddedResponder, card) -> AsyncIterator[Callable]:
    """Ask through a ChatResponder whose endpoint is ``endpoint``; yields a function from text to replies."""
    async with endpoint.serving() as url:
        asking = ChatResponder(url, "a-key", "a-model", responder, silence_s=SILENCE_S)
        await asking.start()
        session = await asking.open(card)

        async def say(text: str) -> list:
            heard = Transcript(tuple(Word(word, 0, 0, 0.9) for word in text.split()))
            return [reply async for reply in session.reply(heard)]

        say.session = session  # pyright: ignore[reportFunctionMemberAccess]
        yield say
        await asking.close()


async def test_an_answer_comes_sentence_by_sentence_and_is_remembered(chat, endpoint: Endpoint) -> None:
    pieces = ("It costs $8", "5. It is re", "ady at 5 p.m. on Friday. **Bye", "**!")
    endpoint.answers = [(200, [*map(event, pieces), DONE]), (200, [event("Yes."), DONE])]
    sentences = ["It costs $85.", "It is ready at 5 p.m. on Friday.", "Bye!"]
    assert [reply.text for reply in await chat("how much")] == sentences
    await chat("sure")
    roles = [(message["role"], message["content"]) for message in endpoint.bodies[1]["messages"]]
    assert roles[1:] == [
        ("user", "how much"),
        ("assistant", "It costs $85. It is ready at 5 p.m. on Friday. Bye!"),
        ("user", "sure"),
    ]
    assert endpoint.keys == ["bearer a-key"] * 2
    assert endpoint.bodies[0]["model"] == "a-model"


async def test_the_first_sentence_does_not_wait_for_the_last(chat, endpoint: Endpoint) -> None:
    endpoint.answers = [(200, [event("One. Two."), event(" Three"), STALL])]
    assert [reply.text for reply in await chat("count")] == ["One.", "Two."]


async def test_the_model_can_end_the_call(chat, endpoint: Endpoint) -> None:
    endpoint.answers = [(200, [event("Goodbye! [hang up]"), DONE])]
    [reply] = await chat("bye")
    assert (reply.text, reply.ends_call) == ("Goodbye!", True)


async def test_what_was_cut_off_is_told_to_the_model(chat, endpoint: Endpoint) -> None:
    endpoint.answers = [(200, [event("The shop is at 40 Mill Lane."), DONE]), (200, [event("Yes."), DONE])]
    await chat("where are you")
    chat.session.was_cut_off("The shop")
    await chat("hello")
    assert endpoint.bodies[1]["messages"][2]["content"] == "The shop —"


@pytest.mark.parametrize(
    "failure",
    [
        (500, []),
        (429, []),
        (200, [STALL]),
        (200, [TEAR]),
        (200, [event("It cos"), TEAR]),
        (200, [event("It cos")]),
        (200, [b"data: {torn\n\n", DONE]),
        (200, [b'data: {"choices": 5}\n\n', DONE]),
        (200, [b'data: {"error": {"message": "overloaded"}}\n\n', DONE]),
        (200, [DONE]),
    ],
)
async def test_a_passing_failure_is_tried_again_then_the_embedded_responder_answers(chat, endpoint, failure) -> None:
    endpoint.answers = [failure, (200, [event("Fine now."), DONE]), failure, failure]
    assert [reply.text for reply in await chat("where are you")] == ["Fine now."]
    assert [reply.topic for reply in await chat("where are you")] == ["street"]
    assert len(endpoint.bodies) == 4


async def test_a_refused_key_is_not_tried_again(chat, endpoint: Endpoint) -> None:
    endpoint.answers = [(401, [])]
    assert [reply.topic for reply in await chat("where are you")] == ["street"]
    assert len(endpoint.bodies) == 1


async def test_an_endpoint_that_is_not_there_leaves_the_embedded_responder(card, responder) -> None:
    asking = ChatResponder("http://127.0.0.1:9/v1", "", "a-model", responder)
    await asking.start()
    session = await asking.open(card)
    heard = Transcript((Word("where", 0, 0, 1), Word("are", 0, 0, 1), Word("you", 0, 0, 1)))
    assert [reply.topic async for reply in session.reply(heard)] == ["street"]
    await asking.close()


async def test_a_failure_after_a_sentence_ends_the_answer_there(chat, endpoint: Endpoint) -> None:
    endpoint.answers = [(200, [event("First. "), event("Second is to"), TEAR])]
    assert [reply.text for reply in await chat("tell me")] == ["First."]
    assert len(endpoint.bodies) == 1


async def test_nothing_understood_never_reaches_the_endpoint(chat, endpoint: Endpoint) -> None:
    assert [reply.topic for reply in await chat("")] == ["unclear"]
    assert endpoint.bodies == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"llm_base_url": "localhost:8000", "llm_model": "m"}, "PARLEY_LLM_BASE_URL"),
        ({"llm_base_url": "http://localhost:8000/v1"}, "PARLEY_LLM_MODEL"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(options, named: str) -> None:
    with pytest.raises(EngineUnavailable, match=named):
        make_responder(options)


def test_instructions_hold_the_card(card) -> None:
    text = instructions(card)
    for part in (card.agent_name, card.facts[0].say, card.rules[0].text, card.unknown_say, card.closing_say):
        assert part in text
