"""Copies the packets of one track, from a little before a time to another, out of a file that lies elsewhere: its bytes
are asked for over a socket. Or asks for all that another tool is going to read there. A program of its own, for the sandbox:
it imports nothing of ours but its own modules, and decides nothing; `workers.ffmpeg.excerpts` and `workers.ffmpeg.rehearsals`
read what it prints.
"""
