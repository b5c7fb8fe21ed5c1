"""A neutral `Presentation` and what is made from it, as pure functions over values and bytes.

The CMAF writer, HLS playlists, the DASH MPD, storyboards. No network, no database, no files.
"""
