"""What the same echo costs on pipecat as it comes: its Twilio serializer, its FastAPI transport, its defaults.

Started by `parley bench gateway`, which talks to it.

8 kHz throughout, so nothing is resampled; the caller's audio is handed back frame by frame.
"""

import asyncio
import json
import socket

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner
from uvicorn.loops.auto import auto_loop_factory

from agent.bench.gateway.probe import Probe

PHONE_HZ = 8_000


class Echo(FrameProcessor):
    """Hands back what it hears."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels)
        await self.push_frame(frame, direction)


async def carry(websocket: WebSocket) -> None:
    """One call."""
    await websocket.accept()
    fields = {"event": ""}
    while fields["event"] != "start":
        fields = json.loads(await websocket.receive_text())
    serializer = TwilioFrameSerializer(
        fields["streamSid"], params=TwilioFrameSerializer.InputParams(auto_hang_up=False)
    )
    transport = FastAPIWebsocketTransport(
        websocket, FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, serializer=serializer)
    )
    worker = PipelineWorker(
        Pipeline([transport.input(), Echo(), transport.output()]),
        params=PipelineParams(audio_in_sample_rate=PHONE_HZ, audio_out_sample_rate=PHONE_HZ),
    )

    @transport.event_handler("on_client_disconnected")
    async def gone(_transport: object, _client: object) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


async def main() -> None:
    """Serve until the bench says stop."""
    probe = Probe()
    app = FastAPI()
    app.websocket("/")(carry)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="warning", access_log=False, ws_ping_interval=None)
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        probe.announce(listening.getsockname()[1])
        await probe.stopped.wait()
        server.should_exit = True
        await asyncio.wait((serving,), timeout=10)


if __name__ == "__main__":
    logger.remove()
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(main())
