"""What an operator sees and does: queues, sets of jobs, processes, the server itself.

    from jobd.api import Filter, Queue, RetrySet

    Queue("mailers").size
    [job for job in RetrySet() if job.class_name == "MoodSenderJob"]
    RetrySet().retry_all(Filter(class_name="MoodSenderJob"))

Reads and acts of people only, for ``jobctl``, the dashboard and a shell. The server never uses it:
what the server does to a job's state is in `jobd.store`. Nothing here is for the logic of an
application: what is told may be past when it is read.

Every class takes ``access=``; without it, it uses the Redis of the current app. Every method that
is O(n) in a backlog says so, and goes through it by pages. All raise ``RedisUnavailable``,
``RedisFull`` or ``RedisRejected`` when the server did not do what was asked.

Source: Sidekiq's lib/sidekiq/api.rb; the shapes of its keys are in `jobd.keys`.
"""

from jobd.api.access import Access
from jobd.api.audit import Audit, AuditEntry
from jobd.api.bulk import Progress, Tally
from jobd.api.cancels import cancel
from jobd.api.filter import EVERYTHING, Filter
from jobd.api.history import PastError, past_errors
from jobd.api.instances import Instance, Worker
from jobd.api.iterations import IterationState, iteration_states
from jobd.api.looks import Look, ask_look, find_look, kill_run
from jobd.api.metrics import Deploy, Group, JobMetrics, Mark, Metrics, Point, Report
from jobd.api.processes import Capsule, Process, ProcessSet
from jobd.api.queues import Queue
from jobd.api.records import JobRecord, SetName, SortedEntry
from jobd.api.sets import SET_NAMES, DeadSet, JobSet, RetrySet, ScheduledSet, set_of
from jobd.api.stats import Day, Health, QueueSummary, ServerSummary, Stats, Totals
from jobd.api.strays import StrayGroup, Strays, stray_keys
from jobd.api.trash import Purged, Trash
from jobd.api.works import Work, WorkSet

__all__ = [
    "EVERYTHING",
    "SET_NAMES",
    "Access",
    "Audit",
    "AuditEntry",
    "Capsule",
    "Day",
    "DeadSet",
    "Deploy",
    "Filter",
    "Group",
    "Health",
    "Instance",
    "IterationState",
    "JobMetrics",
    "JobRecord",
    "JobSet",
    "Look",
    "Mark",
    "Metrics",
    "PastError",
    "Point",
    "Process",
    "ProcessSet",
    "Progress",
    "Purged",
    "Queue",
    "QueueSummary",
    "Report",
    "RetrySet",
    "ScheduledSet",
    "ServerSummary",
    "SetName",
    "SortedEntry",
    "Stats",
    "StrayGroup",
    "Strays",
    "Tally",
    "Totals",
    "Trash",
    "Work",
    "WorkSet",
    "Worker",
    "ask_look",
    "cancel",
    "find_look",
    "iteration_states",
    "kill_run",
    "past_errors",
    "set_of",
    "stray_keys",
]
