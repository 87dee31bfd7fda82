"""The HTTP API: intents in, answers and operations out, for any language.

Needs the extra ``http``; only here are FastAPI, uvicorn and PyJWT known.
"""
