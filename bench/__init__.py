"""How fast the parts are: each is timed beside what it replaces, in one process, and their ratio is what counts.

``make bench`` measures; ``python -m bench --compare OLD NEW`` says what changed. No test fails because of a time.
"""
