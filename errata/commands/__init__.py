"""The commands of the `errata` command line, one file a group.

May import what errata may.
"""
