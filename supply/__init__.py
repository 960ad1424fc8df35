"""What the environments are made of: hashes of every package for the lock files, and a list of their licences.

``python -m supply`` brings both up to date; docs/supply.md says when that is due.
"""
