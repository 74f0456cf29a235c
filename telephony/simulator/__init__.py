"""A phone that speaks Twilio's side: for demos, tests and load.

script or recordings ──▶ ScriptedCaller ──▶ Phone.call ──▶ CallResult
"""

from telephony.simulator.callers import (
    Act,
    Caller,
    HangUp,
    Pause,
    Press,
    Say,
    ScriptedCaller,
    Step,
    Wait,
    background_under,
)
from telephony.simulator.company import PhoneCompany
from telephony.simulator.errors import BadScript, CallFailed
from telephony.simulator.humans import HUMAN_DOES, Human
from telephony.simulator.phone import Phone
from telephony.simulator.recordings import load_recording, to_phone
from telephony.simulator.result import CallResult, HumanLeg, PhoneError, SpokenLine, Spurt, StreamResult
from telephony.simulator.script import Script, load_script, parse_script, perform

__all__ = [
    "HUMAN_DOES",
    "Act",
    "BadScript",
    "CallFailed",
    "CallResult",
    "Caller",
    "HangUp",
    "Human",
    "HumanLeg",
    "Pause",
    "Phone",
    "PhoneCompany",
    "PhoneError",
    "Press",
    "Say",
    "Script",
    "ScriptedCaller",
    "SpokenLine",
    "Spurt",
    "Step",
    "StreamResult",
    "Wait",
    "background_under",
    "load_recording",
    "load_script",
    "parse_script",
    "perform",
    "to_phone",
]
