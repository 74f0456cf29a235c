"""What callers ask businesses of all trades: what a card does not hold sounds more like these than like the card.

    a card's sample questions ◀── which is nearer? ── utterance ── which is nearer? ──▶ questions asked elsewhere

The recogniser learns from them which words such questions are made of.
"""

from functools import cache

_ANYWHERE = """
do you have parking|is there parking nearby|where can i park my car|is parking free|is there a bus stop close to you
do you have wifi|are you wheelchair accessible|is there an elevator|do you have a restroom|can i bring my dog
are pets allowed|can i bring my children|do you have a website|do you have an app|what is your email address
what is your fax number|do you have other locations|is there a branch in another city|who owns the company
how long have you been in business|are you hiring|do you have any job openings|how do i apply for a job
do you sell gift cards|can i buy a gift certificate|do you have a loyalty program|how do i collect points
do you give a student discount|is there a senior discount|is there a discount for veterans|do you have a coupon
do you price match|can i pay in installments|do you take checks|do you accept american express|can i pay with my phone
do you accept bitcoin|do you take cash|can i get a receipt by email|can you send me an invoice|is there a sales tax
are you open on christmas|are you open on thanksgiving|are you open on new year's eve|do you speak spanish
do you have a newsletter|how do i unsubscribe from your emails|how do i reset my password|i forgot my password
how do i delete my account|do you share my data with anyone|where do i send a letter|how do i leave a review
can i volunteer with you|do you sponsor local teams|can i film a video there|do you offer tours|what is the dress code
is there a waiting list|can i bring a friend|do i have to wear a mask|is smoking allowed|how busy is it right now
is there a minimum age|do you have a lost and found|i left my umbrella there|what is your tax number
can i get a refund in cash|do you deliver to my house|do you do home visits|can someone pick me up|do you have a kiosk
"""

_HEALTH = """
which insurance plans do you take|do you treat children|do you do braces|how much is a root canal
how much are dentures|can you pull a tooth|do you have evening appointments|do you offer sedation
how do i get my x rays|do you fix chipped teeth|do you have a female doctor|can i see the doctor by video
do you do blood tests|how do i get my test results|can i get a sick note|do you prescribe antibiotics
can i get a second opinion|is the doctor board certified|do you do physical therapy|can you refer me to a specialist
how do i transfer my records|are you taking new patients|do you have a payment plan for implants
how often should i come for a checkup|can i eat before my appointment|will it hurt|how long is the recovery
do you do allergy tests|can i get a travel vaccination|do you give tetanus shots|do you check blood pressure
can i return unused medicine|do you have crutches|do you sell baby formula|do you carry vitamins
can you put my pills in a weekly box|do you make capsules yourselves|do you have a drive through
can a friend collect my medicine|is there a generic version|can i drink alcohol with this medicine
what are the side effects of this drug|do you sell thermometers|do you take medicare|can you call my doctor for me
do you have hearing aids|do you test for diabetes|do you treat cats and dogs|how much does it cost to neuter a cat
"""

_MONEY = """
what is the mortgage rate today|how do i apply for a loan|can i open an account for my child|do you exchange currency
how much is a wire transfer|how do i order checks|do you have safe deposit boxes|can i get a cash advance
what is the late payment penalty|what is my credit score|can i refinance my car|do you offer business accounts
what is the minimum balance|how do i close my account|how do i dispute a charge|can i increase my credit limit
is there a foreign transaction fee|do you have a rewards card|how do i set up direct deposit
what is the routing number|can i deposit a check with my phone|how do i add somebody to my account
do you do retirement plans|is my money insured|how much is a cashier's check|what is the overdraft fee
can i get a replacement card today|how do i change my pin|do you have travel insurance|how much is life insurance
does my policy cover flooding|what is the deductible|how do i file a claim|can i cover a second driver
do you insure motorcycles|what happens if i miss a payment|can i invest in stocks with you|do you offer student loans
how do i get a tax form|can you notarize a document
"""

_HOME = """
what is the upload speed|is there a limit on how much i can download|do you offer television channels
do you sell phones|can i keep my phone number|do you offer a landline|can i bring my own router
do you have fiber in my street|is there an outage in my area|how do i change my network name
do you block unwanted calls|can i pause my service|what happens when i move|can i have two lines|do you rent modems
is there a fee to cancel early|can i get a static address|do you offer mobile phone plans
how do i get a signal booster|do you provide email addresses|how much is electricity per unit|can i get solar panels
do you read the meter|how do i report a gas leak|why is my water bill so high|do you clear snow|do you trim trees
how do i report a pothole|do you sweep the streets|can i rent a big container|do you take old tires
how do i get rid of a mattress|do you pick up dead animals|can i put glass in my bin|do you collect grass clippings
where can i bring paint|do you shred paper|my bin is cracked|someone stole my bin|can i get a smaller bin
do you collect on holidays|do you sell compost|what happens to the things you recycle|do you take batteries
can i throw away an old computer|do you take clothes|do you repair vacuum cleaners|can you fix my air conditioner
do you install dishwashers|do you sell spare parts|do you remove old appliances|do you repair televisions
can you connect my gas stove|do you fix microwaves|do you sell refurbished fridges|can you unclog a drain
do you paint houses|can you replace a broken window|do you clean chimneys|can i rent tools from you
do you deliver furniture|do you give free estimates over the phone|can you fix it the same day|do you work at night
are your technicians insured|do i have to be at home
"""

_TRAVEL = """
do you have a swimming pool|is there a fitness room|do you have a spa|is there a shuttle to the airport
can i have an extra bed|do you have family rooms|do you have rooms for smokers|is there a minibar
do rooms have a kitchen|do you have a laundry|can i store my luggage|is there a safe in the room
do you have a conference room|is there a bar|is there room service|do you rent bicycles|do you have a view of the sea
can i get a late breakfast|do you have a hair dryer|is there a microwave in the room|how far is it to the city center
can you book tickets for a show|do you do weddings|can i charge an electric car|do you have adjoining rooms
do you have a bathtub|is there air conditioning|can i take a surfboard|how do i check in a bicycle
can i bring a musical instrument|how much is it for golf clubs|can i take a car seat|can my dog fly with me
can i bring food on the plane|are liquids allowed in my hand luggage|can i bring medicine
can i carry a knife in my suitcase|do you lock the bags|can i ship my bags ahead|when does boarding start
how do i choose a seat|can i upgrade to business class|do you serve meals on board|my flight was cancelled what now
how do i get a refund for my ticket|can i change the name on my ticket|do you have a lounge|can i fly while pregnant
do i need a visa|can a child fly alone|is there internet on the plane|do you rent cars|what is the deposit for a car
do you have a child seat|can i drive to another country|how much is a taxi|do you offer boat trips
when is the next train|do you have season tickets|can i bring my skateboard on the bus
"""

_SHOPS = """
do you take reservations online|do you have a kids menu|do you have booster seats|is there outdoor heating
do you have gluten free bread|is your meat halal|do you have a happy hour|do you do catering|do you offer takeout
is there a band playing|can we have a private room|do you serve brunch|do you have craft beer
what desserts do you have|do you have fresh oysters|do you do cooking classes|is the fish wild
do you add a service charge|can i see the kitchen|do you take walk ins|what is the soup today|do you have high tea
can you make it less spicy|do you sell your sauce|do you deliver overseas|how much is it to send a letter to europe
do you sell stamps|do you sell envelopes|can you gift wrap it|do you need a signature|can i pick it up from a locker
do you deliver at the weekend|can you leave it with my neighbor|how do i change the delivery address
do you move pianos|can i send alcohol|can i send a plant|do i need a customs form|do you print labels
can the driver call me first|do you ship refrigerated goods|how do i become a driver|what if nobody is home
can i send money in a parcel|can you hold my mail while i'm away|do you have this in a bigger size
what sizes do you have|can i exchange it without a receipt|do you repair shoes|do you make keys|do you rent costumes
can you alter a dress|do you buy used books|do you have this in blue|do you cut children's hair|how much is a manicure
do you do tattoos|do you have yoga classes|is there a sauna|can i freeze my membership|do you have personal trainers
do you teach beginners|when does the semester start|do you have evening classes
can i borrow books from another library|do you print photos|do you develop film|do you change tires
how much is an oil change|do you sell used cars|can i test drive it|do you wash cars|do you have tickets for tonight
is there an intermission|can i bring a camera|do you rent out the hall
"""


@cache
def questions() -> tuple[str, ...]:
    """Return the questions, in lower case and without question marks."""
    blocks = (_ANYWHERE, _HEALTH, _MONEY, _HOME, _TRAVEL, _SHOPS)
    return tuple(question for block in blocks for line in block.strip().splitlines() for question in line.split("|"))
