"""One call's pipeline, put together and run to the call's end.

socket ─▶ PhoneInput ─▶ CallerTap ─▶ DuplexProcessor ─▶ PhoneOutput ─▶ AgentTap
                                      │        ▲            │
                                      ▼        │            ▼
                                      engine's session    socket

Every processor runs in direct mode: a frame goes all the way in one call, without a queue or a task of its own.
"""

import asyncio

import structlog
from pipecat.frames.frames import ErrorFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.utils.asyncio.task_manager import TaskManager
from pipecat.workers.base_worker import WorkerParams

from agent.duplex import FRAME_MS, DuplexSession
from agent.live import LiveCalls
from agent.pipeline.clock import MediaClock
from agent.pipeline.duplex import DuplexProcessor
from agent.pipeline.ending import CallEnd, Ending
from agent.pipeline.frames import PHONE_HZ
from agent.pipeline.serializer import MediaSerializer
from agent.pipeline.taps import AgentTap, CallerTap, Tap
from agent.pipeline.transport import PhoneInput, PhoneOutput
from crm.recorder import CallRecorder
from telephony.audio.resample import Downsampler, Upsampler
from telephony.carrier import MediaSocket

log = structlog.get_logger(__name__)

_PIPELINE_FAILED = Ending("gateway_lost", "The call's pipeline failed; the log of the server says where.")
_TEARDOWN_S = 2.0


def warm_up() -> None:
    """Design the filters: two seconds that the first caller must not wait for. Blocks; call in a thread."""
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
    ) -> None:
        self._recorder = recorder
        self._end = end
        self._clock = MediaClock()
        self._serializer = MediaSerializer(socket.protocol, socket.start.wire)
        self._output = PhoneOutput(socket, self._serializer, self._clock, end)
        processors = [
            PhoneInput(socket, self._serializer, self._clock, end),
            CallerTap(recorder, live, self._clock),
            DuplexProcessor(session, end, ready_timeout_s),
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

    def _note_figures(self) -> None:
        line = self._serializer.line
        if line.gaps:
            self._recorder.timing("line_filled_ms", line.filled_ms)
        if self._output.playout.shed_frames:
            self._recorder.timing("silence_shed_ms", self._output.playout.shed_frames * FRAME_MS)
