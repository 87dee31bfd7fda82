"""The HTTP API: hand in intents, look at notifications, operate; for any language.

A request passes ``middleware``, the ``dependencies`` of its path (with ``auth``) and its endpoint
(``intents``, ``notifications``, ``preferences``, ``users``, ``feeds``, ``dead_letters``,
``health``), which reads the ``body`` and answers with ``responses``. Needs the extra ``http``: no
other package imports FastAPI, uvicorn or PyJWT.
"""
