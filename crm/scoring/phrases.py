"""What people say when they introduce themselves, refuse, insult, or say goodbye. English.

``PROPER`` names need capitals and are looked for in the text as it stands; all others in ``words.plain`` text.
"""

import re

PROPER = r"((?:[A-Z][\w'’-]*\s?){1,3})"
OWN_NAME = re.compile(
    rf"\b(?:[Mm]y name is|[Mm]y name's|I am called)\s+{PROPER}"
    # "This is Sarah.", "I'm Sarah from …", but not "This is Monday morning" or "I'm Happy to …".
    rf"|\b(?:[Tt]his is|I'm|I am)\s+{PROPER}(?=$|[.,!?]|(?:from|with|at|and|here|speaking|calling|your)\b)"
)
MAKER = re.compile(
    rf"\bI(?:'m| am| was)\b[^.!?]*\b(?:made|developed|created|built|trained|designed|powered) by\s+{PROPER}"
    rf"|\b(?:I work for|I'm with|I am with|I'm calling from|[Tt]hank you for calling)\s+{PROPER}"
)
AFTER_NAME = re.compile(rf"^\s*(?:from|with|at|of)\s+{PROPER}")
MODEL = re.compile(
    r"\b(?:i am|i'm|this is|my name is|call me) (?:an? )?"
    r"(chatgpt|gpt[\w-]*|siri|alexa|claude|gemini|moshi|personaplex|cortana|qwen|llama|copilot"
    r"|(?:large )?language model)\b",
    re.IGNORECASE,
)
NOT_NAMES = frozenset(
    str.split("sorry glad happy afraid sure here the a an your not so very just going right i it what")
)
WHO = re.compile(r"\b(who am i (speaking|talking) (to|with)|what('s| is) your name|who (is this|are you))\b")
CUSTOMER = re.compile(
    r"\b(how (can|may|could) you help me|can you help me (with|find|get)|could you help me"
    r"|i('m| am) calling (about|because|to)"
    r"|i('d| would) like to (order|book|cancel|make a (reservation|complaint)|return|schedule|know|ask|report)"
    r"|i have a (question|problem) (about|with)|i need help with|i want to (cancel|order|book|return|complain)"
    r"|where is my (order|package|bag|luggage)|what is my balance|why was i charged"
    r"|(do|can) you (offer|sell|deliver|accept)|how much do you charge|what are your (hours|prices)"
    r"|can i speak (to|with) (a|your) (manager|human|person|agent|representative))\b"
)
RUDE = re.compile(
    r"\b(idiots?|morons?|stupid|useless|liars?|thieves|thief|dumb(ass)?|incompetent|scam(mers?)?|shut up|crap"
    r"|bullshit|suck(s|ing)?|damn|hell with you|go to hell|fuck\w*|shit\w*|asshole|bastards?|bitch|pathetic"
    r"|worthless|clowns?|fools?|jerks?)\b"
)
INSULT = re.compile(
    r"\b(idiot|moron|stupid|shut up|dumb|fuck\w*|asshole|bastard|bitch|liar|jerk"
    r"|you('re| are) (rude|crazy|ridiculous))\b"
)
CALM = re.compile(
    r"\b(sorry|apologi[sz]e|apologies|understand|hear you|frustrat\w+|upset|help you|happy to help|want to help"
    r"|let me)\b"
)
REFUSAL = re.compile(
    r"\b(can't|cannot|can not|unable|not able|won't|not allowed|not possible|don't (do|offer|take|have)|never|may not"
    r"|isn't possible|do not)\b"
)
AGREES = re.compile(r"^(yes|sure|of course|certainly|absolutely|no problem|okay|ok|done|i have|i've|i will|i'll)\b")
HAND_OVER = re.compile(
    r"\b(connect\w*|transfer\w*|put(ting)? you through|hand(ing)? you|pass\w*|specialist|supervisor|manager"
    r"|colleague|team|call you back|calls? back)\b"
)
BYE = re.compile(
    r"\b(good ?bye|bye|have a (good|nice|great|lovely|wonderful) (day|night|one|evening|afternoon|weekend)|take care"
    r"|thank(s| you) for (calling|banking|choosing)|that('s| is) all|nothing else)\b"
)
UNKNOWN = re.compile(
    r"\b(i (do not|don't|really don't) (know|have (that|an answer|any|the))|not sure|no information"
    r"|(can't|cannot) (say|answer|tell)|don't have (that|an answer|information))\b",
    re.IGNORECASE,
)
CORRECTION = re.compile(r"\b(sorry|correct|correction|mean|meant|actually|rather|excuse|apolog\w+)\b", re.IGNORECASE)
