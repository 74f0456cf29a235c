"""Call instructions as TwiML, Twilio's XML (https://www.twilio.com/docs/voice/twiml)."""

from collections.abc import Callable
from dataclasses import dataclass

from twilio.twiml.voice_response import Connect, Dial, Gather, Stream, VoiceResponse

from telephony.carrier import (
    After,
    AskAgain,
    BriefHuman,
    ConnectStream,
    DialHuman,
    Enqueue,
    HangUp,
    Hold,
    Instruction,
    JoinRoom,
    SayAndHangUp,
    TakeMessage,
)

_TAKE_S = 10
_TAKE_IT = "Press any key to take the call."
_COMING = "Thank you. The caller is coming."
_NOTHING_RECORDED = "Goodbye."
_PAUSE_ENDS_MESSAGE_S = 6


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where Twilio asks and streams to, all absolute; ``action(after, part, call)`` makes an action URL."""

    action: Callable[..., str]
    stream: str
    hold_sound: str


def action_query(after: After, part: int, **about: str) -> str:
    """Return the query of an action URL; ``about`` holds plain words and identifiers only."""
    return "&".join(f"{name}={value}" for name, value in ({"after": after, "part": part} | about).items())


def render(instruction: Instruction, where: Addresses) -> str:
    """Return the TwiML document of ``instruction``.

    After each verb Twilio requests an action URL that says what it is about; a redirect asks the same where Twilio
    goes on without it, so the caller is never left in silence.
    """
    response = VoiceResponse()
    if sentence := _said_first(instruction):
        response.say(sentence)
    match instruction:
        case ConnectStream():
            _connect(response, instruction, where)
        case SayAndHangUp(text):
            response.say(text)
            response.hangup()
        case HangUp():
            response.hangup()
        case DialHuman() | JoinRoom():
            response.append(_dial(instruction, where))
        case BriefHuman(text, call, part):
            gather = Gather(action=where.action("accept", part, call=call), num_digits=1, timeout=_TAKE_S)
            gather.say(f"{text} {_TAKE_IT}")
            response.append(gather)
            response.hangup()
        case Enqueue(queue, part):
            response.enqueue(queue, action=where.action("queue", part), method="POST")
        case Hold() | AskAgain():
            response.play(where.hold_sound)
            response.redirect(_asked_next(instruction, where), method="POST")
        case TakeMessage():
            _record(response, instruction, where)
    return str(response)


def _said_first(instruction: Instruction) -> str:
    if isinstance(instruction, ConnectStream | DialHuman | Enqueue | Hold | AskAgain):
        return instruction.say
    return _COMING if isinstance(instruction, JoinRoom) and instruction.is_human else ""


def _asked_next(instruction: Hold | AskAgain, where: Addresses) -> str:
    if isinstance(instruction, Hold):
        return where.action("wait", instruction.part)
    asked = instruction.asked
    result = {"result": asked.result} if asked.result else {}
    return where.action(asked.after, asked.part, **result, again=str(asked.again + 1))


def _connect(response: VoiceResponse, instruction: ConnectStream, where: Addresses) -> None:
    stream = Stream(url=where.stream)
    for name, value in instruction.parameters.items():
        stream.parameter(name=name, value=value)
    action_url = where.action("stream", instruction.part)
    connect = Connect(action=action_url, method="POST")
    connect.append(stream)
    response.append(connect)
    response.redirect(action_url, method="POST")


def _dial(instruction: DialHuman | JoinRoom, where: Addresses) -> Dial:
    if isinstance(instruction, JoinRoom):
        action = {} if instruction.is_human else {"action": where.action("dial", instruction.part), "method": "POST"}
        dial = Dial(**action)
        # The conference begins with the human, who is there before the caller comes.
        begins = instruction.is_human
        dial.conference(instruction.room, start_conference_on_enter=begins, end_conference_on_exit=True, beep="false")
        return dial
    dial = Dial(
        action=where.action("dial", instruction.part),
        method="POST",
        timeout=instruction.timeout_s,
        answer_on_bridge=True,
        caller_id=instruction.caller_id,
    )
    dial.number(instruction.to)
    return dial


def _record(response: VoiceResponse, instruction: TakeMessage, where: Addresses) -> None:
    response.say(instruction.text)
    response.record(
        action=where.action("record", instruction.part),
        method="POST",
        max_length=instruction.limit_s,
        timeout=_PAUSE_ENDS_MESSAGE_S,
        play_beep=True,
        recording_status_callback=where.action("recorded", instruction.part),
        recording_status_callback_method="POST",
    )
    response.say(_NOTHING_RECORDED)  # reached only where nothing was said
    response.hangup()
