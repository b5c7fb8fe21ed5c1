"""What outlives a process, and the words for it. No ffmpeg, no HTTP serving, no Celery here."""
