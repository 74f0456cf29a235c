"""What callers say on any line, and the frames in which they ask about a thing: text for the language model.

``{x}`` in a frame stands for a topic or keyword of the card.
"""

COURTESIES = """
hello|hi|hi there|hey|good morning|good afternoon|good evening|hello there|yes hello|hi how are you|how are you
how are you doing|how are you today|i'm good thanks|i'm fine thank you|hello is anyone there|can you hear me
who is this|who am i speaking to|who am i talking to|what's your name|what is your name|sorry what was your name
is this the right number|am i talking to a real person|are you a robot|are you a computer|is this a recording
thank you|thanks|thank you very much|thank you so much|thanks a lot|thanks for your help|thank you for your help
okay thank you|okay thanks|great thanks|great thank you|perfect thank you|that's great thank you|you're welcome
that's very helpful|that was helpful thank you|i appreciate it|i appreciate your help|have a nice day|have a good day
you too|same to you|goodbye|bye|bye bye|okay bye|okay goodbye|thanks bye|thank you bye|thank you goodbye|see you
talk to you later|that's all|that's all i needed|that's everything|that will be all|no that's all thank you
no thank you|no thanks|no that's it|nothing else|i think that's all|yes|yes please|yeah|yep|yeah sure|sure|of course
okay|ok|alright|all right|right|fine|that's fine|sounds good|that sounds good|great|perfect|wonderful|excellent
no|nope|no i don't|yes i do|yes i am|no i'm not|yes it is|no it isn't|that's right|that's correct|correct|exactly
that's not right|that's wrong|not really|i don't think so|i think so|i guess so|maybe|probably|i don't know
i'm not sure|i see|i understand|got it|oh i see|oh okay|oh really|really|mm hmm|uh huh|hmm|um|uh|well|so
wait|wait a minute|wait a second|hold on|hold on please|one moment|one moment please|just a moment|just a second
give me a second|let me think|let me check|let me see|sorry|i'm sorry|excuse me|pardon|pardon me|what|what was that
what did you say|sorry what did you say|could you repeat that|could you repeat that please|can you say that again
could you say that again please|i didn't catch that|i didn't hear you|i can't hear you|please speak up
could you speak more slowly|please speak slowly|i don't understand|what do you mean|what does that mean
that doesn't make sense|stop|please stop|never mind|forget it|go ahead|go on|please continue|are you still there
"""

REQUESTS = """
i have a question|i have another question|i have one more question|i have a few questions|can i ask you something
can i ask you a question|can i ask another question|may i ask a question|just one more thing|one more thing
one last question|and another thing|what else|anything else|can you help me|can you help me please|please help me
could you help me|i need help|i need some help|i need your help|i'm calling to ask about something|i have a problem
i have a problem with my account|there is a problem|it doesn't work|it's not working|it isn't working|what should i do
what can i do|what do i need to do|what do i have to do|what happens now|what happens next|how does that work
how does it work|how do i do that|is that possible|would that be possible|is that included|is that all
is there anything else i should know|do i need anything else|do i need to bring anything|what do i need to bring
how much is it|how much is that|how much does it cost|how much does that cost|how much would that be|what does it cost
what would that cost|how much do i have to pay|how much will i have to pay|is it free|is there a charge
is there an extra charge|is there a fee|are there any fees|what are the fees|what's the price|what is the total
do you have any discounts|is there a discount|can i get a discount|how can i pay|can i pay by card|can i pay in cash
can i pay online|do you take credit cards|when do you open|what time do you open|what time do you close
when do you close
when are you open|are you open today|are you open tomorrow|are you open on sunday|are you open on weekends
what are your hours|what are your opening hours|how late are you open|what days are you open|where are you located
where are you|where is that|where is it|what's the address|what is your address|how do i get there
how can i reach you|what's the phone number|what number can i call|do you have an email address|do you have a website
how long does it take|how long will it take|how long do i have to wait|how long is it|how soon can i get it
when can i come|when will it be ready|when does it start|when is it|what time is it|what day is it|today or tomorrow
as soon as possible|can i make an appointment|i'd like to make an appointment|i'd like to book an appointment
can i change my appointment|i need to cancel my appointment|i want to cancel|i'd like to cancel|can i cancel
i'd like to order|i want to order something|i'd like to place an order|where is my order|what's the status of my order
i'm calling about my order|i'd like to check my order|can you check my account|can you look that up
can you check that for me|could you check that please|i'd like to know|i was wondering|i just wanted to know
i wanted to ask|i'm looking for something|i received a letter|i got an email|i got a bill|i was charged twice
i want a refund|i want my money back|can i get my money back|can i get a refund|can i speak to someone
can i speak to a manager|i want to speak to a manager|i'd like to speak to your supervisor|let me talk to a human
can i talk to a real person|please transfer me|can you transfer me|put me through to someone else
can you call me back|please call me back|can someone call me back|can you send me an email|can you send it to me
send me a confirmation|my name is john|this is john|i'm a customer|i'm a new customer|i don't have an account
i don't have my number|i don't remember|my account number is|my phone number is|my address is|my order number is
my date of birth is|it's spelled|how do you spell that|can you spell that
is there somewhere i can go|is there anyone i can talk to|is anyone available|is it allowed|am i allowed to do that
does it matter|does that include everything|does it come with a warranty|which one is cheaper|which one is better
what's the difference|what is the difference between them|what if i'm late|what if i can't make it|what if it breaks
what happens if i don't|what happens if i miss it|who do i contact|who should i call|who is responsible
who is in charge|who will i see|who will come|how often|how often do i need to do that|how many are there
how many can i have|how far is it|how big is it|how old do i have to be|how do i sign up|how do i apply
how do i register|how do i get started|what kind of service do you offer|what do you offer|what types do you have
"""

COMPLAINTS = """
this is ridiculous|this is unacceptable|that's ridiculous|that's terrible|that's too expensive|that is a rip off
you're useless|you are useless|you're not helping|you are not helping me|this is a waste of time|you're wasting my time
i'm very angry|i'm really upset|i'm very disappointed|i'm frustrated|i've been waiting for an hour
i've been waiting forever|i have been on hold for ages|you people are terrible|you're an idiot|you are an idiot
you are stupid|you're so stupid|are you stupid|shut up|go to hell|what the hell|damn it|this is stupid|this is bullshit
your service is terrible|your service is awful|worst service ever|this is the worst company ever|i hate this company
i'm going to sue you|i will call my lawyer|i'm never coming back|i want to complain|i want to make a complaint
nobody helped me|nobody called me back|do your job|can you even help me|you don't know anything|just answer my question
just answer the question|i don't care|i don't believe you|you lied to me|you are lying|that's a lie
"""

SMALL_TALK = """
what's the weather like|what's the weather like today|will it rain tomorrow|is it going to rain|tell me a joke
do you know a joke|who won the game last night|who won the game|did you watch the game|who is the president
what's the capital of france|what's the capital of australia|how tall is the eiffel tower|what's your favorite movie
what's your favorite color|can you recommend a restaurant|can you recommend a good movie|can you recommend a good book
do you know a good restaurant|what should i cook for dinner|can you sing a song|play some music
where are you from|how old are you|do you like your job|what's two plus two|can you help me with my homework
what do you think about politics|what's the meaning of life|how do i fix my car|what's the best phone to buy
how is the stock market doing|should i buy stocks|can you give me a recipe|tell me about yourself|are you married
what's on television tonight|how do you make a cake|who is your favorite singer|what's happening in the news
"""

FRAMES = """
what is {x}|what is the {x}|what's the {x}|what's your {x}|what is your {x}|what are the {x}|what are your {x}
what about {x}|what about the {x}|how about the {x}|and the {x}|how much is the {x}|how much is {x}
how much does the {x} cost|how much does {x} cost|how much do you charge for {x}|how much for {x}|what does {x} cost
what do you charge for {x}|what's the price of {x}|what's the fee for {x}|is there a charge for {x}
is there a {x}|is there any {x}|is {x} included|is the {x} included|are there {x}|are there any {x}
when is the {x}|when is my {x}|when is {x}|what time is the {x}|what time does the {x} start|what day is the {x}
where is the {x}|where is my {x}|where is {x}|where can i find {x}|where can i get {x}|where do i get {x}
how long is the {x}|how long does the {x} take|how long does {x} take|how long do you keep {x}|how long for {x}
how many {x} are there|how many {x} do i get|how many {x} can i have|who is the {x}|who is my {x}|who does the {x}
which {x} do you have|which {x} do you take|which {x} is it|what kind of {x} do you have|what kind of {x}
do you have {x}|do you have a {x}|do you have any {x}|do you offer {x}|do you offer a {x}|do you do {x}|do you sell {x}
do you take {x}|do you accept {x}|do you provide {x}|do you know the {x}|do i need a {x}|do i need {x}
do i have to pay for {x}|do i get {x}|does it include {x}|does that include {x}|does it come with {x}|does my {x}
can i get a {x}|can i get {x}|can i get my {x}|can i have a {x}|can i have the {x}|can i change my {x}
can i cancel my {x}|can i book a {x}|can i add {x}|can i bring {x}|can i bring my {x}|can i use {x}|can i use my {x}
can i pay for {x}|can you tell me the {x}|can you tell me about {x}|can you tell me about the {x}
can you give me the {x}
can you give me {x}|can you check my {x}|can you confirm my {x}|can you confirm the {x}|can you explain the {x}
could you tell me the {x}|could you tell me about {x}|could you tell me about the {x}|could you give me the {x}
could you check the {x}|could you check my {x}|would you mind telling me the {x}|please tell me the {x}
tell me about {x}|tell me about the {x}|tell me the {x}|i have a question about {x}|i have a question about the {x}
i have a question about my {x}|i'm calling about {x}|i'm calling about the {x}|i'm calling about my {x}
i'd like to know about {x}|i'd like to know the {x}|i'd like to know what the {x} is|i'd like a {x}|i'd like {x}
i'd like to ask about {x}|i'd like to ask about the {x}|i want to know about {x}|i want to know the {x}
i want a {x}|i want {x}|i need a {x}|i need {x}|i need the {x}|i need my {x}|i need to know the {x}
i need to change my {x}
i'm looking for {x}|i'm looking for a {x}|i'm interested in {x}|i'm interested in the {x}|i was wondering about the {x}
i was told about {x}|i heard about the {x}|i have {x}|i have a {x}|i don't have a {x}|i lost my {x}|my {x} is broken
my {x} is late|my {x}|the {x}|for {x}|for the {x}|about the {x}|with {x}|with a {x}|without {x}|or {x}|and {x}
what if i need {x}|what if the {x} is late|what happens to my {x}|what happens if {x}|is it the {x}|is that the {x}
is my {x} ready|is the {x} free|is {x} free|is {x} available|is the {x} available|is the {x} open|how do i get {x}
how do i get a {x}|how do i pay for {x}|how do i use the {x}|how does the {x} work|how can i get {x}
how can i change my {x}
does the {x} cost extra|do you still have {x}|are you the {x}|am i allowed {x}|will there be {x}|will i get {x}
"""

DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday|today|tomorrow|tonight|weekends|weekdays|holidays"
MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
DAY_FRAMES = "on {x}|{x} morning|{x} afternoon|next {x}|are you open on {x}|can i come on {x}|what about {x}|is it {x}"
MONTH_FRAMES = "in {x}|{x} first|the tenth of {x}|{x} twenty second|born in {x}"
DIGITS = "zero|oh|one|two|three|four|five|six|seven|eight|nine"
NUMBERS = (
    "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty"
    "|sixty|seventy|eighty|ninety|hundred|thousand"
)
NUMBER_FRAMES = """
at {x} o'clock|{x} dollars|{x} people|{x} of them|{x} days|{x} hours|{x} minutes|{x} years old|at {x} thirty|{x} p.m.
"""
LETTERS = "a|b|c|d|e|f|g|h|i|j|k|l|m|n|o|p|q|r|s|t|u|v|w|x|y|z"


def phrases(block: str) -> list[str]:
    """Return the phrases of one of the blocks above."""
    return [phrase.strip() for line in block.strip().splitlines() for phrase in line.split("|") if phrase.strip()]
