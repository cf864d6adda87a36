"""Daily mood: a small web app whose slow work is done by jobd.

Reading order: ``web`` (the forms), ``jobs`` (what they push), ``mailer`` and ``database`` (what the
jobs do), ``catcher`` (the mail server that keeps what it gets), ``launcher`` (starts it all).
"""
