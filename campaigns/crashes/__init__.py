"""The crash matrix: causes every possible fault at every step that the code takes in a scenario.

scenarios → watched undisturbed: their steps → cases: step x fault → disturbed, left alone, compared
"""
