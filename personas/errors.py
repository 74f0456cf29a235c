"""What can go wrong with personas; every message is one sentence for a person, with the remedy."""


class PersonaError(Exception):
    """Base of this package's errors."""


class CardError(PersonaError):
    """A role card that can't be used; the message names its file or version, the field and the remedy."""


class UnknownPersona(PersonaError):
    """No persona has this slug; the message names the nearest one."""


class PersonaArchived(PersonaError):
    """A persona that was put away can't be changed, nor answer a number; the message says how to bring it back."""


class PersonaInUse(PersonaError):
    """A persona that answers numbers can't be put away; the message names them."""


class UnknownVersion(PersonaError):
    """No persona version has this id or number."""


class UnknownNumber(PersonaError):
    """No persona answers this phone number."""


class NotPublished(PersonaError):
    """The persona behind a number, or asked for by slug, has only a draft."""


class DraftChanged(PersonaError):
    """A draft was saved by somebody else since it was read; nothing was written."""


class NumberChanged(PersonaError):
    """A phone number was set by somebody else since it was read; nothing was written."""


class BadNumberSetting(PersonaError):
    """A setting of a phone number that can't be used; the message names it and the remedy.

    ``field`` is its name in ``personas.numbers.NumberSettings``.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class BadNumber(BadNumberSetting):
    """A phone number that is not E.164."""


class DatabaseError(Exception):
    """The database cannot be used; the message is one sentence with the remedy, without password."""
