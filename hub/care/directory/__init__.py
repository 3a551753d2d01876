"""The directory: who the people are for the hub, their role and the language they chose.

A Matrix account says nothing about a person; whoever is not in the directory is ``Role.UNKNOWN`` and may
nearly nothing.
"""
