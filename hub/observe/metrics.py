"""What Prometheus may scrape: the queues, the keys, the pace. One object, handed to whoever measures.

Labels are closed sets (outcomes, names of commands, routes, the hub's own accounts): text that somebody
typed must not become a label.
"""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest


@dataclass(frozen=True)
class Metrics:
    """Gauges hold the last value; times are in seconds. The queues are measured every ten seconds, what
    ``hub.doctor`` examines every minute."""

    registry: CollectorRegistry
    events: Counter
    """Incoming events by ``outcome``: kept, duplicate, identity_changed; then answered, retried, parked."""
    inbox_depth: Gauge
    outbox_depth: Gauge
    parked: Gauge
    """By ``account`` and ``box``: inbox or outbox."""
    undecryptable_waiting: Gauge
    backup_behind: Gauge
    """Room keys that are not in the key backup yet; NaN until it is open."""
    command_seconds: Histogram
    """The whole transaction, by ``command``: its name as declared, never as typed; ``unknown`` for what is
    none; the kind of the row (edit, invitation, identity) for what asks for none."""
    sends: Counter
    """Outgoing messages by ``outcome``: sent, retried, parked, limited (the homeserver made us wait)."""
    check: Gauge
    """By ``check`` of ``parcours doctor``: 1 well, 0.5 a warning, 0 failing, NaN unknown."""
    examined: Gauge
    """When the checks were last made, in seconds since 1970."""
    disk_free: Gauge
    """Bytes, where the hub writes; the least of these places."""
    clock_skew: Gauge
    """How far the homeserver's clock is ahead of ours, exact to a second."""
    identity_chain_whole: Gauge
    """1 when strict clients believe the hub's device, else 0."""
    one_time_keys: Gauge
    backup_present: Gauge
    """1 when room keys have a backup that we signed, else 0."""
    sync_lag: Gauge
    """Since the sync position was last saved; half a minute when nothing happens."""
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
            backup_behind=gauge("backup_behind", "Room keys not yet in the key backup", "account"),
            command_seconds=histogram("command_seconds", "Time that a command took", "command"),
            sends=counter("sends", "Outgoing Matrix events", "outcome"),
            check=gauge("check", "1 well, 0.5 warning, 0 failing, NaN unknown", "account", "check"),
            examined=gauge("examined_timestamp_seconds", "When the checks were last made", "account"),
            disk_free=gauge("disk_free_bytes", "Free space where the hub writes", "account"),
            clock_skew=gauge("clock_skew_seconds", "The homeserver's clock, ahead of ours", "account"),
            identity_chain_whole=gauge(
                "identity_chain_whole", "Whether our device is vouched for", "account"
            ),
            one_time_keys=gauge("one_time_keys", "One-time keys left on the homeserver", "account"),
            backup_present=gauge("backup_present", "Whether room keys have a backup of ours", "account"),
            sync_lag=gauge("sync_lag_seconds", "Age of the saved sync position", "account"),
            http_requests=counter("http_requests", "Requests answered", "route", "status"),
            http_seconds=histogram("http_seconds", "Time that a request took", "route"),
        )

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
