"""What can go wrong in the log of calls; every message is one sentence without numbers, words or secrets."""


class CrmError(Exception):
    """Base of this package's errors."""


class UnknownCall(CrmError):
    """There is no call with this id."""


class NonceRefused(CrmError):
    """A media socket may not carry this call: its nonce is unknown, used, too old or another call's."""


class RecordingUnavailable(CrmError):
    """A recording that cannot be read: never made, removed, or not where recordings may lie."""


class CannotScore(CrmError):
    """A call without what scoring needs: a persona version, or anything said."""


class JudgeUnavailable(CrmError):
    """The language model that judges calls does not answer as one."""


class JudgeRefused(JudgeUnavailable):
    """The language model judges control cases wrongly, so it may not judge calls."""


class BadCursor(CrmError):
    """A list of calls was asked to go on from a place that no list has given out."""
