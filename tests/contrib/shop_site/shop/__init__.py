"""An app with a model, jobs, tasks and receivers of the signals of tasks."""
