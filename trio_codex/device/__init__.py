"""A microphone and a loudspeaker for a session, through PortAudio (extra `mic`).

::

    async with (
        open_sound_device() as device,
        open_realtime_session(agent) as session,
        device.attach(session),
    ):
        async for event in session: ...  # and speak

There is no echo cancellation: with a loudspeaker in the room, the agent hears itself and cuts itself off. Use headphones.
"""

from trio_codex.device.device import SoundDevice, open_sound_device
from trio_codex.device.loudspeaker import Loudspeaker
from trio_codex.device.microphone import Microphone
from trio_codex.device.portaudio import default_devices

__all__ = ["Loudspeaker", "Microphone", "SoundDevice", "default_devices", "open_sound_device"]
