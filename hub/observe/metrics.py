"""What Prometheus may scrape: the queues, the keys, the pace. One object, handed to whoever measures.

Labels are closed sets (outcomes, names of commands, routes, the hub's own accounts): text that somebody
typed must not become a label.
"""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest


@dataclass(frozen=True)
class Metrics:
    """Gauges hold the last value; times are in seconds."""

    registry: CollectorRegistry
    events: Counter
    """Incoming events by ``outcome``: done, refused, retried, parked, duplicate, passed_by, untrusted…"""
    inbox_depth: Gauge
    outbox_depth: Gauge
    parked: Gauge
    """By ``account`` and ``box``: inbox or outbox."""
    undecryptable_waiting: Gauge
    one_time_keys: Gauge
    backup_behind: Gauge
    """Room keys that are not in the key backup yet."""
    sync_lag: Gauge
    """From the newest event's time to its handling."""
    command_seconds: Histogram
    """By ``command``: its name as declared, never as typed."""
    sends: Counter
    """Outgoing messages by ``outcome``: sent, retried, parked."""
    http_requests: Counter
    """By ``route`` (the pattern, not the path) and ``status``."""
    http_seconds: Histogram

    @classmethod
    def create(cls) -> Metrics:
        """A fresh set on its own registry, at zero."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"parcours_{name}", about, labels, registry=registry)

        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"parcours_{name}", about, labels, registry=registry)

        def histogram(name: str, about: str, *labels: str) -> Histogram:
            return Histogram(f"parcours_{name}", about, labels, registry=registry)

        return cls(
            registry=registry,
            events=counter("events", "Incoming Matrix events", "outcome"),
            inbox_depth=gauge("inbox_depth", "Inbox rows not finished", "account"),
            outbox_depth=gauge("outbox_depth", "Messages not yet sent", "account"),
            parked=gauge("parked", "Rows set aside for the operator", "account", "box"),
            undecryptable_waiting=gauge("undecryptable_waiting", "Events that wait for a key", "account"),
            one_time_keys=gauge("one_time_keys", "One-time keys left on the homeserver", "account"),
            backup_behind=gauge("backup_behind", "Room keys not yet in the key backup", "account"),
            sync_lag=gauge("sync_lag_seconds", "Age of the newest event when it was handled", "account"),
            command_seconds=histogram("command_seconds", "Time that a command took", "command"),
            sends=counter("sends", "Outgoing Matrix events", "outcome"),
            http_requests=counter("http_requests", "Requests answered", "route", "status"),
            http_seconds=histogram("http_seconds", "Time that a request took", "route"),
        )

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
