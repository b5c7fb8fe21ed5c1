"""Looks into one file and prints what is there as JSON. A program of its own, for the sandbox: it imports nothing of
ours but its own modules, decides nothing and refuses nothing; `workers.ffmpeg.reports` reads what it prints.
"""
