"""One call's pipeline, put together and run to the call's end.

socket ─▶ PhoneInput ─▶ CallerTap ─▶ DuplexProcessor ─▶ PhoneOutput ─▶ AgentTap
                                      │        ▲            │
                                      ▼        │            ▼
                                      engine's session    socket

Every processor runs in direct mode: a frame goes all the way in one call, without a queue or a task of its own.
"""

import asyncio
from collections.abc import Mapping
from functools import partial

import structlog
from pipecat.frames.frames import ErrorFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.utils.asyncio.task_manager import TaskManager
from pipecat.workers.base_worker import WorkerParams

from agent.duplex import DuplexSession
from agent.live import LiveCalls, Noted
from agent.pipeline.attendant import Attendant, Duties
from agent.pipeline.clock import MediaClock
from agent.pipeline.duplex import DuplexProcessor
from agent.pipeline.ending import CallEnd, Ending
from agent.pipeline.figures import alarms, measured
from agent.pipeline.frames import PHONE_HZ
from agent.pipeline.serializer import MediaSerializer
from agent.pipeline.taps import AgentTap, CallerTap, Tap
from agent.pipeline.transport import PhoneInput, PhoneOutput
from crm.call import Handoff
from crm.recorder import CallRecorder
from telephony.audio.resample import Downsampler, Upsampler
from telephony.carrier import MediaSocket

log = structlog.get_logger(__name__)

_PIPELINE_FAILED = Ending("gateway_lost", "The call's pipeline failed; the log of the server says where.")
_TEARDOWN_S = 2.0


def warm_up() -> None:
    """Make the filters' tables, which the first caller must not wait for. Blocks; call in a thread."""
    Upsampler()
    Downsampler()


class CallPipeline:
    """A call between its socket and its session; ``run`` it once."""

    def __init__(
        self,
        socket: MediaSocket,
        session: DuplexSession,
        recorder: CallRecorder,
        live: LiveCalls,
        end: CallEnd,
        *,
        ready_timeout_s: float,
        duties: Duties,
    ) -> None:
        self._recorder = recorder
        self._live = live
        self._end = end
        self._figures: Mapping[str, float] = {}
        self._clock = MediaClock()
        self._serializer = MediaSerializer(socket.protocol, socket.start.wire)
        self._attendant = Attendant(duties, end, self._note)
        stall_s = duties.patience.engine_stall_s
        alarm = partial(self._note, "one_way_audio")
        self._output = PhoneOutput(socket, self._serializer, self._clock, end, alarm)
        processors = [
            PhoneInput(socket, self._serializer, self._clock, end),
            CallerTap(recorder, live, self._clock),
            DuplexProcessor(session, self._attendant, end, ready_timeout_s=ready_timeout_s, stall_s=stall_s),
            self._output,
            AgentTap(recorder, live, self._clock),
        ]
        # No runner: a WorkerRunner keeps every worker it ever ran, and adds a message bus that one has no use for.
        self._worker = PipelineWorker(
            Pipeline(processors),
            params=PipelineParams(audio_in_sample_rate=PHONE_HZ, audio_out_sample_rate=PHONE_HZ),
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
            cancel_timeout_secs=_TEARDOWN_S,
            check_dangling_tasks=False,
        )
        self._worker.event_handler("on_pipeline_error")(self._failed)

    @property
    def media_ms(self) -> int:
        """How long the stream has been going, in media time."""
        return self._clock.now_ms()

    @property
    def figures(self) -> Mapping[str, float]:
        """What is measured of the call, by names that end in their unit; empty while it lives."""
        return self._figures

    def warn(self, seconds_left: float) -> None:
        """Tell the caller that the longest length allowed is near."""
        self._attendant.warn(seconds_left)

    def hang_up(self, user: str) -> None:
        """End the call because ``user`` of the console wants it."""
        self._note("operator_hung_up", user)
        self._end.settle(Ending("agent_hung_up", f"{user} ended the call from its page."))

    def hand_off(self, handoff: Handoff, user: str) -> bool:
        """Give the call to a human because ``user`` wants it; False where there is nobody to give it to."""
        self._note("operator_handed_off", user)
        return self._attendant.hand_off(handoff)

    async def run(self) -> Ending:
        """Carry the call until something settles its end; return how it ended."""
        worker = asyncio.ensure_future(self._worker.run(WorkerParams(task_manager=TaskManager())))
        ended = asyncio.ensure_future(self._end.wait())
        try:
            await asyncio.wait((worker, ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._end.settle(_PIPELINE_FAILED)  # unless it was settled: the pipeline stopped by itself
            ended.cancel()
            await self._worker.cancel()
            await asyncio.wait((worker,))
            self._note_figures()
        return await self._end.wait()

    async def _failed(self, _worker: PipelineWorker, error: ErrorFrame) -> None:
        """A tap may fail, and the call goes on without it; anything else would leave the caller in silence."""
        log.error("pipeline failed", processor=str(error.processor), error=type(error.exception).__name__)
        if not isinstance(error.processor, Tap):
            self._end.settle(_PIPELINE_FAILED)

    def _note(self, kind: str, detail: str = "") -> None:
        at_ms = self._clock.now_ms()
        self._recorder.event(kind, at_ms, detail)
        self._live.publish(self._recorder.call_id, Noted(kind, at_ms, detail))

    def _note_figures(self) -> None:
        self._figures = measured(self._serializer.line, self._output.playout, self._attendant.loudness)
        for name, value in self._figures.items():
            self._recorder.timing(name, value)
        for kind, detail in alarms(self._figures, self.media_ms):
            self._note(kind, detail)
