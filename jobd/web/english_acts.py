"""The English texts of acts: what may be done, what was done, and what was not."""

from typing import Final

ACTS: Final[dict[str, str]] = {
    # What may be done
    "act.add_to_queue": "Run now",
    "act.add_to_queue_all": "Run all now",
    "act.cancel": "Cancel",
    "act.cancel_it": "Cancel the job",
    "act.clear": "Purge",
    "act.delete": "Delete",
    "act.delete_all": "Delete all",
    "act.dump": "Dump stacks",
    "act.kill": "Kill",
    "act.kill_all": "Kill all",
    "act.kill_running": "Kill",
    "act.kill_running_it": "Kill the worker",
    "act.look": "Show stacks and log",
    "act.move": "Move",
    "act.move_all": "Move all",
    "act.pause": "Pause",
    "act.put_back": "Put back",
    "act.quiet": "Quiet",
    "act.quiet_all": "Quiet all",
    "act.reload": "Reload",
    "act.reschedule": "Reschedule",
    "act.reschedule_all": "Reschedule all",
    "act.resume": "Resume",
    "act.retry": "Retry now",
    "act.retry_all": "Retry all now",
    "act.stop": "Stop",
    "act.stop_all": "Stop all",
    "act.unpause": "Unpause",
    "ask.all": "For this job?||For all {n:,} jobs?",
    "ask.all_matching": "For every job that matches “{search}”, also those not shown?",
    "ask.cancel": "End this job? It is not run again.",
    "ask.clear": (
        "Delete the queue {name} and its job?||Delete the queue {name} and its {n:,} jobs?"
    ),
    "ask.clear.what": (
        "What waits in it can be put back for a day, and takes memory until then; see Purged. Its "
        "jobs that run, are scheduled, wait for another try or are dead stay, and so does a pause."
    ),
    "ask.delete_everything": (
        "Delete this job? It can be put back for a day; see Purged.||Delete all {n:,} jobs? "
        "They can be put back for a day, and take memory until then; see Purged."
    ),
    "ask.delete_purged": "Delete this for good?||Delete these {n:,} jobs for good?",
    "ask.delete": "Delete this job for good?",
    "ask.delete_selected": "Delete the selected jobs for good?",
    "ask.kill": "Move this job to Dead?",
    "ask.kill_running": "Kill its worker at once? This job is not run again, its others are.",
    "ask.kill_selected": "Move the selected jobs to Dead?",
    "ask.move_all": (
        "Move the job to the back of another queue?||"
        "Move the {n:,} jobs to the back of another queue, in their order?"
    ),
    "ask.quiet_all": "Have all {n} processes take no more jobs?",
    "ask.reload": (
        "Have {name} read its settings and application anew? Its workers are replaced one by one, "
        "new before old; if what is new is broken, nothing changes."
    ),
    "ask.stop": "Stop {name}? Running jobs get its timeout, then go back to their queues.",
    "ask.stop_all": "Stop all {n} processes? Running jobs get their timeout, then go back.",
    # What was done
    "done.add_to_queue": "Queued {n:,} job.||Queued {n:,} jobs.",
    "done.add_to_queue_all": "Queued {n:,} job.||Queued {n:,} jobs.",
    "done.cancel": "It is ended within some seconds, and is not run again.",
    "done.clear": "Deleted the queue and its job.||Deleted the queue and its {n:,} jobs.",
    "done.delete": "Deleted {n:,} job.||Deleted {n:,} jobs.",
    "done.delete_all": "Deleted {n:,} job.||Deleted {n:,} jobs.",
    "done.dump": "Asked {n} process for its stacks: see its log.||Asked {n} processes.",
    "done.kill": "Killed {n:,} job.||Killed {n:,} jobs.",
    "done.kill_running": "Its worker is killed within some seconds; the job is not run again.",
    "done.look": "Asked its worker where it is.",
    "done.kill_all": "Killed {n:,} job.||Killed {n:,} jobs.",
    "done.nothing": "No job was selected.",
    "done.missing": "Not there any more: it ran, or somebody was faster.",
    "done.move": "Moved {n:,} job.||Moved {n:,} jobs.",
    "done.move_all": "Moved {n:,} job.||Moved {n:,} jobs.",
    "done.pause": "Paused: running jobs end, no new one starts.",
    "done.put_back": "Put back {n:,} job.||Put back {n:,} jobs.",
    "done.quiet": "Told {n} process, which obeys within ten seconds.||Told {n} processes.",
    "done.refused_some": (
        "It could not be done for {n:,} job, which stays.||"
        "It could not be done for {n:,} jobs, which stay."
    ),
    "done.reload": "Told {n} process, which obeys within ten seconds.||Told {n} processes.",
    "done.reschedule": "It has another time now.||{n:,} jobs have another time now.",
    "done.reschedule_all": "Given another time: {n:,} job.||Given another time: {n:,} jobs.",
    "done.resume": "Told {n} process, which obeys within ten seconds.||Told {n} processes.",
    "done.retry": "Queued {n:,} job for another try.||Queued {n:,} jobs for another try.",
    "done.retry_all": "Queued {n:,} job for another try.||Queued {n:,} jobs for another try.",
    "done.stop": "Told {n} process, which obeys within ten seconds.||Told {n} processes.",
    "done.unfinished": (
        "Done for {n:,} job so far; there are more. Press again to go on.||"
        "Done for {n:,} jobs so far; there are more. Press again to go on."
    ),
    "done.unpause": "Its jobs run again.",
    # What was not done
    "bad.act": "There is no such action here.",
    "bad.args": 'Arguments are a JSON list, such as [1, "two"]. Nothing was done.',
    "bad.form": "The form cannot be read. Nothing was done.",
    "bad.search": "The search cannot be read whole, so nothing was done to what it matches.",
    "bad.size": "The form is larger than 2 MB. Nothing was done.",
    "bad.when": "That is no time, so nothing was done.",
    "missing.class": "Nothing of that name has run within 72 hours.",
    "missing.job": "This job is not there any more: it ran, or somebody was faster.",
    "missing.page": "There is no such page.",
    "missing.queue": "There is no such queue any more.",
    "missing.purge": "It is gone for good, or was put back.",
    "missing.process": "This process has left.",
    "refused.act": "You are not allowed to do that.",
    "refused.closed": (
        "This dashboard is open to this machine only, and without a proxy in between. "
        "To open it to others set JOBD_WEB_PASSWORD, or give it an authenticator."
    ),
    "refused.host": "This dashboard is not known under that name: add it to allowed_hosts.",
    "refused.login": "A name and the password, please.",
    "refused.method": "Only GET and POST are answered here.",
    "refused.origin": "This form was not sent by a page of this dashboard. Nothing was done.",
    "refused.read_only": "This dashboard is read-only.",
    "refused.token": "The form is too old, or not ours: load its page again. Nothing was done.",
    "refused.user": "You are not allowed in.",
    "trouble.error": "It was not done.",
    "trouble.redis": "Redis cannot be reached.",
    "trouble.request": "The request cannot be answered.",
}
