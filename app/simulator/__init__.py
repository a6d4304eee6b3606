"""A stand-in for the vendor, for demos and tests: a program of its own that imports nothing else of `app`.

It was written from the vendor's contract alone (`veo-api` in the docstrings here), so that it cannot share
a misreading with the code it is used to test.
"""
