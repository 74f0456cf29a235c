"""What a media socket costs without any product: `websockets` alone, the caller's audio sent back.

Started by `parley bench gateway`, which talks to it.

The same wire as Parley's: 20 ms packets in; what an engine's frame of 80 ms would be out, as one media message and
a mark.
"""

import asyncio
import base64
import json

from uvicorn.loops.auto import auto_loop_factory
from websockets.asyncio.server import ServerConnection, serve

from agent.bench.gateway.probe import Probe

FRAME_BYTES = 640


async def echo(socket: ServerConnection) -> None:
    """Collect four packets, send them back as one."""
    frame, frames, stream_id = b"", 0, ""
    async for message in socket:
        fields = json.loads(message)
        match fields["event"]:
            case "start":
                stream_id = fields["streamSid"]
            case "media":
                frame += base64.b64decode(fields["media"]["payload"])
                if len(frame) < FRAME_BYTES:
                    continue
                payload = base64.b64encode(frame).decode()
                await socket.send(json.dumps({"event": "media", "streamSid": stream_id, "media": {"payload": payload}}))
                await socket.send(json.dumps({"event": "mark", "streamSid": stream_id, "mark": {"name": str(frames)}}))
                frame, frames = b"", frames + 1
            case "stop":
                return


async def main() -> None:
    """Serve until the bench says stop."""
    probe = Probe()
    async with serve(echo, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        probe.announce(next(iter(server.sockets)).getsockname()[1])
        await probe.stopped.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(main())
