"""What a call is: the values that the store hands out; tables never leave it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Status = Literal["waiting", "ringing", "live", "ended", "refused", "lost"]
Outcome = Literal[
    "",
    "caller_hung_up",
    "agent_hung_up",
    "time_limit",
    "engine_lost",
    "gateway_lost",
    "unknown_number",
    "not_published",
    "engine_full",
    "engine_unavailable",
    "stream_failed",
    "transferred",
    "caller_silent",
    "agent_mute",
    "out_of_hours",
    "voicemail",
    "abandoned",
]
Side = Literal["caller", "agent"]
HandoffMode = Literal["cold", "warm", "queue"]
HandoffResult = Literal["", "dialling", "taken", "answered", "failed", "over"]
"""``taken`` is a call that a human wants and whose caller is on the way to them."""
Erasure = Literal["", "recording", "call", "request"]
"""What goes of a call: its recording, or all that is personal, since its time is over or since somebody asked."""
VerdictResult = Literal["pass", "fail", "na", "unresolved"]
Severity = Literal["critical", "major", "minor"]


@dataclass(frozen=True, slots=True)
class Handoff:
    """A call given to a human. ``to`` is E.164 or "" for the number's own human; ``why`` is one of dtmf, rule,
    operator, engine_lost, agent_mute, engine_full; ``detail`` a rule's id or the like."""

    mode: HandoffMode
    to: str = ""
    why: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AskedEnding:
    """How somebody outside the call's process wants it to end, e.g. an operator on another one's page."""

    outcome: Outcome
    reason: str = ""
    handoff: Handoff | None = None


@dataclass(frozen=True, slots=True)
class CallEvent:
    """Something that happened in a call beside speech, e.g. kind ``digit`` or ``recording_failed``."""

    kind: str
    at_ms: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class KnownCaller:
    """Who calls, as the agent was told; ``source`` is ``customers``, or ``lookup`` for the company's own records."""

    name: str
    profile: str
    source: Literal["customers", "lookup"] = "customers"


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a call is kept though its time is over or somebody asks to erase it; ``by`` is a user's name."""

    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class NewCall:
    """A ringing call and who answers it. The persona's fields are empty where none could be found.

    ``part`` counts the media streams of one carrier's call; ``continues`` is the id of the part before. ``events`` are
    what happened before it was logged.
    """

    carrier: str
    carrier_call_id: str
    account_id: str
    from_number: str
    to_number: str
    persona_slug: str | None = None
    persona_version_id: int | None = None
    persona_title: str = ""
    engine: str = ""
    role_prompt: str = ""
    part: int = 1
    continues: str | None = None
    is_test: bool = False
    customer: KnownCaller | None = None
    events: tuple[CallEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One call. ``id`` is 32 hex digits; ``reason`` a sentence for the operator; ``recording`` a path
    relative to the recordings folder, empty when there is none; ``timing`` figures in milliseconds by name.

    A call whose stream was lost goes on as the next ``part``, a row of its own that ``continues`` this one.
    ``handoff`` is set where it was given to a human, ``handoff_result`` says how far that came and ``leg_id`` is the
    carrier's id of the human's own call, where we made it; ``voicemail`` is the address of the caller's message.
    ``gateway`` names the process that has it. ``is_test`` marks a call that a user made to try a persona:
    ``account_id`` is that user's name, and no figures count it. ``customer`` is who called, as far as it was known.
    A call that is scored and has a ``score_due_at`` waits for its judge, who has failed at it ``judge_tries`` times.

    ``erased`` says what is no longer kept of it, since ``erased_at``; ``erasing`` what is being removed; with a
    ``hold`` nothing is.
    """

    id: str
    carrier: str
    carrier_call_id: str
    account_id: str
    from_number: str
    to_number: str
    persona_slug: str | None
    persona_version_id: int | None
    persona_title: str
    engine: str
    status: Status
    outcome: Outcome
    reason: str
    role_prompt: str
    created_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    recording: str
    timing: Mapping[str, float] = field(default_factory=dict)
    part: int = 1
    continues: str | None = None
    handoff: Handoff | None = None
    handoff_result: HandoffResult = ""
    leg_id: str = ""
    voicemail: str = ""
    asked: AskedEnding | None = None
    gateway: str = ""
    is_test: bool = False
    customer: KnownCaller | None = None
    score_due_at: datetime | None = None
    judge_tries: int = 0
    hold: Hold | None = None
    erasing: Erasure = ""
    erased: Erasure = ""
    erased_at: datetime | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether nothing personal is kept of it any more."""
        return self.erased in ("call", "request")


@dataclass(frozen=True, slots=True)
class OpenedCall:
    """A call that may be streamed. ``nonce`` opens it once; ``is_new`` is False for a repeated webhook."""

    call: Call
    nonce: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class TimedWord:
    """One word, in milliseconds of media time."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A run of speech by one side, in milliseconds of media time.

    ``text`` is empty where somebody spoke but no words are known. A backchannel ("mm-hmm") overlaps
    the other side's turn and takes no floor.
    """

    side: Side
    start_ms: int
    end_ms: int
    text: str
    words: tuple[TimedWord, ...] = ()
    backchannel: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """The floor going from caller to agent: at ``at_ms`` the agent began, ``offset_ms`` after the
    caller's end; negative where they overlapped.
    """

    at_ms: int
    offset_ms: int


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls a list shows; empty fields do not filter.

    ``caller`` is the number or address they came from, as the carrier writes it; ``caller_of`` the id of a call
    whose caller's calls are wanted; ``name`` a call's id, ours or the carrier's.
    """

    persona_slug: str = ""
    status: str = ""
    outcome: str = ""
    caller: str = ""
    caller_of: str = ""
    name: str = ""
    since: datetime | None = None
    until: datetime | None = None
    is_test: bool | None = None


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """The latest score of a call: ``score`` and ``coverage`` in 0 … 1; ``score`` None where nothing applied."""

    score: float | None
    coverage: float
    failed_critical: int


@dataclass(frozen=True, slots=True)
class ListedCall:
    """A row of a list of calls, without its role prompt. ``onset_p50_ms``: the median wait for the agent, if known."""

    call: Call
    score: ScoreSummary | None
    turn_count: int = 0
    onset_p50_ms: float | None = None


@dataclass(frozen=True, slots=True)
class CallPage:
    """Calls, newest first. Pass ``next_cursor`` to get the page after; None on the last one."""

    calls: tuple[ListedCall, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One criterion's result. ``quote`` is an exact substring of turn ``turn_index``'s text, or empty."""

    criterion_id: str
    text: str
    result: VerdictResult
    severity: Severity
    weight: float
    quote: str
    turn_index: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Scorecard:
    """How well a call kept its role. ``score`` in 0 … 1, None where no criterion applied;
    ``coverage`` = resolved / applicable criteria.
    """

    scorer: str
    rubric_hash: str
    score: float | None
    coverage: float
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class JudgeWait:
    """A judge that is still to come: not before ``due``, or only when asked to where that is None.

    ``tries`` times it was there and failed at this call.
    """

    due: datetime | None
    tries: int


@dataclass(frozen=True, slots=True)
class StoredScore:
    """A scorecard with what it was made from and when."""

    call_id: str
    persona_version_id: int | None
    created_at: datetime
    card: Scorecard
