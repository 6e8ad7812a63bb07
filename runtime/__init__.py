"""The frozen model, the router, the paths and the services around them.

May import classifiers, memory and (services only) protos.
"""
