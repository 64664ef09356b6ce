"""The crash matrix: every step that the code takes in a scenario, times every fault that can happen there.

scenarios → watched undisturbed: their steps → cases: step x fault → disturbed, left alone, compared
"""
