"""What a user has to be allowed to do with a topic, and how to say so to whoever grants it. Pure."""

from collections.abc import Sequence

from services.shared.runtime.kafka_url import KafkaUrl

TO_READ = ("Read", "Describe")
"""The invalidator, `tidegate tail`."""

TO_WRITE = ("Read", "Write", "Describe", "DescribeConfigs")
"""The CDC service, which goes on where the log ends, and looks whether the topic keeps what it is given. It needs
Create beside them, where it is to make the topic."""


def not_allowed(url: KafkaUrl, topic: str, missing: Sequence[str]) -> str:
    """Return what is missing, and the command that grants it."""
    who = f"the user {url.user}" if url.user else "whoever we come in as"
    principal = f'"User:{url.user}"' if url.user else "User:…"  # it may hold a blank
    operations = " ".join(f"--operation {right}" for right in missing)
    return (
        f"{who} may not use topic {topic} as it has to ({', '.join(missing)} is missing): kafka-acls.sh --add "
        f"--allow-principal {principal} {operations} --topic {topic}"
    )
