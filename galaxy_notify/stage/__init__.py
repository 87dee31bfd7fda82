"""The stage of ``demo --web``: a deployment of its own, and the page that shows it at work.

Nothing else starts it. It listens on this machine only.
"""
