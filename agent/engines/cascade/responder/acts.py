"""What callers say that is on no card: greetings, thanks, asking again, rudeness, small talk; with sample phrases.

``REPLIES`` holds what the agent says to them, several wordings each, used in turn. The phrases of ``OFF_TOPIC``
and ``RUDE`` stand for whole kinds of speech; the sentence model takes it from there.
"""

from collections.abc import Mapping

from agent.engines.cascade.responder.words import word_set

GREETING = "greeting"
THANKS = "thanks"
GOODBYE = "goodbye"
YES = "yes"
NO = "no"
REPEAT = "repeat"
SPELL = "spell"
SLOWER = "slower"
PRESENCE = "presence"
IDENTITY = "identity"
HUMAN = "human"
HOLD = "hold"
NAME = "name"
NUMBERS = "numbers"
HELP = "help"
COMPLAINT = "complaint"
RUDE = "rude"
OFF_TOPIC = "off_topic"
BACKCHANNEL = "backchannel"
UNKNOWN = "unknown"
UNCLEAR = "unclear"
CLOSING = "closing"

PHRASES: Mapping[str, tuple[str, ...]] = {
    GREETING: ("hello", "hi there", "good morning", "good afternoon", "how are you today", "hello how are you doing"),
    THANKS: ("thank you", "thanks a lot", "great thank you so much", "that's very helpful thank you", "perfect thanks"),
    GOODBYE: (
        "goodbye",
        "bye bye",
        "that's all thank you goodbye",
        "that is all I wanted to know",
        "that's everything I needed thanks",
        "no that's it thanks for your help",
        "have a nice day bye",
        "I have to go now",
        "nothing else thank you",
    ),
    REPEAT: (
        "pardon",
        "sorry what did you say",
        "can you repeat that please",
        "could you say that again",
        "I didn't catch that",
        "I didn't hear you",
        "what was that again",
        "come again",
        "one more time please",
        "say again",
    ),
    SPELL: (
        "how do you spell that",
        "can you spell it for me",
        "could you spell the name please",
        "how is that spelled",
        "what's the spelling",
    ),
    SLOWER: (
        "can you speak more slowly please",
        "slow down please",
        "you're talking too fast",
        "not so fast please",
        "could you say that slowly",
    ),
    PRESENCE: ("are you there", "hello are you still there", "can you hear me", "is anybody there", "did I lose you"),
    IDENTITY: (
        "who am I speaking with",
        "who are you",
        "what's your name",
        "which company is this",
        "are you a robot",
        "are you a real person",
        "am I talking to a machine",
        "is this a computer or a human",
        "who is this",
        "are you an artificial intelligence",
    ),
    HUMAN: (
        "can I speak to a human",
        "I want to talk to a real person",
        "let me speak to your manager",
        "connect me with an agent please",
        "transfer me to a supervisor",
        "put me through to somebody else",
        "I'd like to speak to a representative",
        "operator please",
    ),
    HOLD: (
        "hold on",
        "one moment please",
        "just a second",
        "wait a minute",
        "hang on let me get a pen",
        "give me a moment",
    ),
    HELP: (
        "can you help me",
        "I have a question",
        "I need some help",
        "I have a few questions",
        "I'd like some information",
        "can I ask you something",
        "what can you help me with",
        "I'm calling because I have a question",
        "I have another question",
    ),
    COMPLAINT: (
        "I want to make a complaint",
        "I'm very unhappy with your service",
        "I would like to file a complaint",
        "I'm really disappointed with how this was handled",
        "nobody called me back and I'm not happy about it",
    ),
    RUDE: (
        "you are an idiot",
        "this is ridiculous you people are useless",
        "your company is terrible",
        "you're a stupid machine",
        "shut up",
        "go to hell",
        "you guys are a bunch of crooks",
        "what kind of incompetent fools work there",
        "this is the worst service I have ever had",
        "are you stupid or what",
        "I hate your damn company",
        "you are wasting my time you moron",
        "what a rip off you're robbing people",
        "you don't know anything do you",
        "are you even listening to me you're hopeless",
        "what the hell is wrong with you",
        "your service is garbage",
        "how dumb can you be",
        "you're all liars and thieves",
        "I'm sick of this nonsense and of you",
        "you people are unbelievable what a joke of a company",
        "don't you have a brain",
        "I'm surrounded by idiots",
        "do your damn job for once",
        "you are the dumbest person I ever talked to",
        "stop talking rubbish and get lost",
        "a monkey could do your job better",
        "nobody there knows what they are doing you clowns",
    ),
    OFF_TOPIC: (
        "who won the football game last night",
        "what's the capital of France",
        "tell me a joke",
        "what do you think about the president",
        "how do I bake a chocolate cake",
        "what is the weather going to be tomorrow",
        "can you recommend a good movie",
        "what's the meaning of life",
        "can you help me with my math homework",
        "what is your favorite color",
        "who is the best singer in the world",
        "write a poem for me",
        "how tall is Mount Everest",
        "do you believe in aliens",
        "what should I cook for dinner tonight",
        "how old are you",
        "do you have a girlfriend",
        "which stocks should I buy",
        "what year did the second world war end",
        "can you translate something into Spanish",
        "how do I fix my computer",
        "what's the best way to lose weight",
        "who should I vote for in the election",
        "what are tonight's lottery numbers",
        "sing me a song",
        "what happened on the news today",
        "how far away is the moon",
        "did you watch the game on Sunday",
        "what's a good book to read",
        "can you tell me how to train my dog",
        "what is the largest animal on earth",
        "who discovered America",
        "who invented the telephone",
        "how many planets are there",
        "what language do they speak in Brazil",
        "when was the Eiffel Tower built",
        "who plays the hero in that new series",
        "what is two hundred divided by seven",
        "do you think it will rain this weekend",
        "what's your opinion on politics",
        "can you sing or dance",
        "what did you have for breakfast",
        "is there a good band playing tonight",
        "how do airplanes fly",
        "what's the recipe for pancakes",
        "who is the queen of England",
        "what's the score of the basketball game",
        "give me some dating advice",
        "how do I grow tomatoes in my garden",
        "where should I go on my next holiday",
        "can you explain how gravity works",
        "which video game do you like best",
    ),
}

BRIEF = frozenset({GREETING, THANKS, REPEAT, SPELL, SLOWER, PRESENCE, HOLD, HELP})
"""Acts that take few words; a long utterance is hardly one of them."""

BRIEF_WORDS = 6

REPLIES: Mapping[str, tuple[str, ...]] = {
    GREETING: ("Hello! How can I help you?", "Hi, what can I do for you?"),
    THANKS: ("You're welcome. Is there anything else?", "My pleasure. Anything else I can do for you?"),
    YES: ("Sure, go ahead.", "All right, what would you like to know?"),
    PRESENCE: ("Yes, I'm here. How can I help you?", "I'm still here, go ahead."),
    HOLD: ("Of course, take your time.", "Sure, I'll wait."),
    NUMBERS: ("Thank you, I have noted that.", "Thanks, I've got that."),
    HELP: ("Of course. What would you like to know?", "Sure, go ahead with your question."),
    COMPLAINT: (
        "I'm sorry to hear that. Please tell me what happened, and I'll see what I can do.",
        "I'm really sorry about that.",
    ),
    UNCLEAR: (
        "Sorry, I didn't catch that. Could you say it again?",
        "I'm sorry, the line isn't clear. Could you repeat that, please?",
        "I'm afraid I still can't make that out.",
    ),
    SLOWER: ("Of course, I'll take it slowly.", "Sorry, once more, slowly."),
    REPEAT: ("Of course.", "Sure, once more."),
    NO: ("All right. Is there anything else I can help you with?", "Okay. What else can I do for you?"),
    BACKCHANNEL: ("Is there anything else you'd like to know?", "What else can I help you with?"),
}

BEFORE_THE_SAME: Mapping[str, tuple[str, ...]] = {
    UNKNOWN: ("That is another thing I can't answer.", "I'm afraid that's the same there."),
    RUDE: ("I hear you.", "I really do want to help."),
    OFF_TOPIC: ("I'm afraid I can't help there.", "That's not something for me, either."),
}
"""What goes before a card's standing sentence when it was the last thing said, too."""

NOT_REPEATED = frozenset({REPEAT, SLOWER, UNCLEAR, "anything_else"})
"""Replies that a caller who asks for a repetition does not mean."""

ANYTHING_ELSE = ("Is there anything else I can help you with?", "Anything else you'd like to know?")

OPENERS = (
    "hi there|hello there|hello|hi|hey|good morning|good afternoon|good evening|okay|ok|all right|alright|right|so|"
    "well|um|uh|er|ah|oh|yes|yeah|yep|please|great|perfect|thank you very much|thank you so much|thank you|"
    "thanks a lot|thanks|sorry|excuse me|and|now|then|actually|listen|look|got it|i see|sure|fine"
)
"""Words before the matter itself; they are cut off before meaning is compared."""

FILLERS = frozenset(["um", "uh", "er", "ah", "oh", "hm", "hmm", "mm", "mhm", "mm-hmm", "uh-huh", "huh"])
BACKCHANNELS = frozenset({"okay", "ok", "all right", "alright", "right", "i see", "got it", "sure", "fine", "great"})
AGREEMENTS = frozenset({"yes", "yeah", "yep", "yes please", "sure", "yeah please", "yes i do", "yes there is"})
DENIALS = frozenset(
    {"no", "nope", "no thanks", "no thank you", "no i don't", "not really", "no that's all", "no that's it"}
)
FAREWELL = r"\b(good ?bye|bye|bye bye|see you|have a (nice|good|great) (day|evening|one|weekend))\b"
INSULTS = word_set(
    "idiot idiots stupid dumb moron morons useless incompetent ridiculous damn hell crap garbage rubbish liar "
    "liars thieves crooks scam rip-off ripoff hate worst terrible awful pathetic fool fools shut suck sucks joke "
    "clowns nonsense bullshit ass asshole fuck fucking shit bloody hopeless worthless disgusting"
)
