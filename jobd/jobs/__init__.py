"""What users write: ``Job`` classes, ``@job`` functions, and the registry of their names.

How a job is run belongs to the worker.
"""

from jobd.jobs.classes import Job, Registry, RetryIn, registry
from jobd.jobs.functions import FunctionJob, job
from jobd.jobs.performing import Run, perform
from jobd.jobs.pushing import Delay, HasPerform, Moment, Setter, apush, apush_bulk, push, push_bulk

__all__ = [
    "Delay",
    "FunctionJob",
    "HasPerform",
    "Job",
    "Moment",
    "Registry",
    "RetryIn",
    "Run",
    "Setter",
    "apush",
    "apush_bulk",
    "job",
    "perform",
    "push",
    "push_bulk",
    "registry",
]
