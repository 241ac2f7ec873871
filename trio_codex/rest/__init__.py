"""The realtime API's HTTP side: client secrets for those who may not have the key, calls, and the webhooks that announce them.

Built on `trio_codex.http`; what goes over the wire is in the API's description. Knows nothing of sessions, which it opens the door for.
"""

from trio_codex.rest.calls import Call, Calls
from trio_codex.rest.client import Client, open_client
from trio_codex.rest.client_secrets import ClientSecret, ClientSecrets, EphemeralKey
from trio_codex.rest.webhooks import CallIncoming, IncomingCall, SipHeader, WebhookEvent, verify_webhook

__all__ = [
    "Call",
    "CallIncoming",
    "Calls",
    "Client",
    "ClientSecret",
    "ClientSecrets",
    "EphemeralKey",
    "IncomingCall",
    "SipHeader",
    "WebhookEvent",
    "open_client",
    "verify_webhook",
]
