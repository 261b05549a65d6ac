"""Knows the command line of ``tgn``: a verb reads its settings, calls one stage, shows the result.

Verbs import the stage that they run; at the head of these modules stands nothing that needs torch,
so that ``--help`` answers at once.
"""
