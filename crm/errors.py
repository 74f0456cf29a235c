"""What can go wrong in the log of calls; every message is one sentence without numbers, words or secrets."""


class CrmError(Exception):
    """Base of this package's errors."""


class UnknownCall(CrmError):
    """There is no call with this id."""


class NonceRefused(CrmError):
    """A media socket may not carry this call: its nonce is unknown, used, too old or another call's."""


class RecordingUnavailable(CrmError):
    """A recording that cannot be read: never made, removed, or not where recordings may lie."""


class CannotErase(CrmError):
    """A call that is going on, or on hold."""


class CannotHold(CrmError):
    """A call that is erased already, or a hold without a reason."""


class CannotDisclose(CrmError):
    """A copy of what is kept of a caller that can't be written where it is wanted."""


class CannotScore(CrmError):
    """A call without what scoring needs: a persona version, or anything said."""


class JudgeUnavailable(CrmError):
    """The language model that judges calls does not answer as one."""


class JudgeFailed(JudgeUnavailable):
    """The language model that judges calls answers, but not about this call."""


class JudgeRefused(JudgeUnavailable):
    """The language model judges control cases wrongly, so it may not judge calls."""


class BadCursor(CrmError):
    """A list of calls was asked to go on from a place that no list has given out."""


class BadCustomer(CrmError):
    """A customer who can't be kept as given; ``problem`` is of ``field`` and ends with the remedy."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}.")
        self.field, self.problem = field, problem


class UnknownCustomer(CrmError):
    """There is no customer with this id or number."""


class CustomerChanged(CrmError):
    """A customer was changed or removed by somebody else since they were read; nothing was written."""


class NumberTaken(CrmError):
    """A number belongs to another customer, whose id is ``customer_id``; nothing was written."""

    def __init__(self, customer_id: int) -> None:
        super().__init__("One of these numbers belongs to another customer; remove it there first.")
        self.customer_id = customer_id


class BadCustomerFile(CrmError):
    """A file of customers that can't be read; the message names the line and the remedy."""
