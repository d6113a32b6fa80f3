"""The worker: Celery tasks that close the gap between what a shop wants shown and what the API shows."""
