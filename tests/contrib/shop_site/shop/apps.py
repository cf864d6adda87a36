from django.apps import AppConfig

from shop.record import record


def tell(event, sender, task_result, **_kwargs):
    record(
        event,
        sender=sender.__name__,
        id=task_result.id,
        path=task_result.task.module_path,
        queue=task_result.task.queue_name,
        backend=task_result.backend,
        status=task_result.status,
        worker_ids=task_result.worker_ids,
        started_at=task_result.started_at and task_result.started_at.timestamp(),
        finished_at=task_result.finished_at and task_result.finished_at.timestamp(),
        value=task_result.return_value if task_result.status == "SUCCESSFUL" else None,
        errors=[[e.exception_class.__name__, e.traceback] for e in task_result.errors],
    )


class ShopConfig(AppConfig):
    name = "shop"

    def ready(self):
        try:
            from django.tasks import signals
        except ImportError:
            from django_tasks import signals
        for event in ("enqueued", "started", "finished"):
            signal = getattr(signals, f"task_{event}")
            signal.connect(
                lambda event=event, **kwargs: tell(event, **kwargs), weak=False, dispatch_uid=event
            )
