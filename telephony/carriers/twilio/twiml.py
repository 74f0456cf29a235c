"""Call instructions as TwiML, Twilio's XML."""

from twilio.twiml.voice_response import Connect, Stream, VoiceResponse

from telephony.carrier import ConnectStream, HangUp, Instruction, SayAndHangUp


def render(instruction: Instruction, *, action_url: str, stream_url: str) -> str:
    """Return the TwiML document of ``instruction``. Both URLs are absolute.

    After the stream Twilio requests ``action_url``; the redirect asks the same where Twilio goes on without it, so
    the caller is never left in silence.
    """
    response = VoiceResponse()
    match instruction:
        case ConnectStream(parameters):
            stream = Stream(url=stream_url)
            for name, value in parameters.items():
                stream.parameter(name=name, value=value)
            connect = Connect(action=action_url, method="POST")
            connect.append(stream)
            response.append(connect)
            response.redirect(action_url, method="POST")
        case SayAndHangUp(text):
            response.say(text)
            response.hangup()
        case HangUp():
            response.hangup()
    return str(response)
