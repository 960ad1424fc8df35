"""Boxes in space: how much they overlap, which of them to keep, and how networks describe them."""
