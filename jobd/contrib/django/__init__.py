"""jobd as a Django app: add ``"jobd.contrib.django"`` to ``INSTALLED_APPS``; see docs/django.md."""
