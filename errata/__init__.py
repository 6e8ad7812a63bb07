"""What people type and import: the gRPC clients and the command line.

May import protos and, for local commands, what they run.
"""
