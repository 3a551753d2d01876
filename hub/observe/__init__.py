"""What the hub lets out about itself: logs, metrics and error reports, none of which holds a word of
anybody.

The rule is the same in the three files: nothing is scrubbed out of what was going to leave, only what is on
a list is let in: event codes, ids, numbers, types of exceptions, places in the code. So a forgotten case
stays inside.

``logs`` (codes and allow-listed fields), ``metrics`` (Prometheus), ``reports`` (faults, to the log and to
Sentry). Imports ``hub.errors`` and ``hub.config`` only; everybody may import this package. A new log field
is one line in ``logs.Fields``; a new metric is one field of ``metrics.Metrics``.
"""

from hub.observe.logs import Log, errors_heard, setup_logging
from hub.observe.metrics import Metrics
from hub.observe.reports import report, setup_reports

__all__ = ["Log", "Metrics", "errors_heard", "report", "setup_logging", "setup_reports"]
