"""What a proxy would be refused at its start: looked at from here, which may be another host than the proxy's."""

from services.proxy.arrival.exposure import is_loopback, refuse_open_door
from services.proxy.control import ConnectControl
from services.proxy.tls.identity import watch_identity
from services.proxy.verifiers.opening import open_verifiers
from services.shared.runtime.authentication import Authentication
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.settings import CacheSettings, TlsMode

APPLICATION_NAME = "tidegate-check"


async def proxy_findings(cache: CacheSettings) -> list[Finding]:
    """Look at what the settings have a proxy do; the database is there."""
    return [*await _door(cache), *_certificate(cache), *await _verifiers(cache)]


async def _door(cache: CacheSettings) -> list[Finding]:
    """See who could come in (H46)."""
    if is_loopback(cache.listen_address[0]):
        return [Finding(Level.OK, "listen", f"The proxy listens on {cache.listen}, for this host alone")]
    try:
        await refuse_open_door(cache.client_upstream, cache.listen)
    except Refusal as refusal:
        return [_refused("listen", refusal)]
    return [Finding(Level.OK, "listen", f"The proxy listens on {cache.listen}, and Postgres asks for passwords")]


def _certificate(cache: CacheSettings) -> list[Finding]:
    files = cache.tls_certificate, cache.tls_key
    if cache.tls is TlsMode.OFF or files == (None, None):
        if cache.tls not in (TlsMode.ON, TlsMode.REQUIRED):
            return []
        text = f"TLS to clients is {cache.tls}, and no certificate is named: only `tidegate up` makes one by itself"
        return [Finding(Level.WARN, "tls", text, "set TIDEGATE_TLS_CERTIFICATE and TIDEGATE_TLS_KEY")]
    certificate, key = files
    if certificate is None or key is None:
        return []  # refused as settings
    try:
        watch_identity(certificate, key)
    except Refusal as refusal:
        return [_refused("tls", refusal)]
    return [Finding(Level.OK, "tls", "Certificate and key for clients can be read, and belong together")]


async def _verifiers(cache: CacheSettings) -> list[Finding]:
    if cache.auth is not Authentication.SCRAM:
        return []
    try:
        finder = await open_verifiers(cache, ConnectControl(cache.client_upstream, APPLICATION_NAME))
    except Refusal as refusal:
        return [_refused("auth", refusal)]
    finder.close()
    return [Finding(Level.OK, "auth", "Verifiers of passwords can be read")]


def _refused(topic: str, refusal: Refusal) -> Finding:
    said = mask_secrets(" ".join(str(refusal).split())).removesuffix(".")
    text, _, remedy = said.rpartition(". ")
    text, remedy = (text, remedy) if text else (said, "")
    return Finding(Level.FAIL, topic, f"The proxy {text}" if text.startswith("will not") else text, remedy)
