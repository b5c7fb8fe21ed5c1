"""The vocabulary of media. One concept, one word.

*video* the catalogued work · *asset* its encoded objects · *source* its uploaded file · *upload* a tus resource ·
*track* one elementary stream · *rung* a target (codec, size, rate, cap) · *ladder* ordered rungs · *rendition* the
encoded output of one rung · *GOP* · *chunk* a unit of encoding work, never delivered · *fragment* one moof+mdat ·
*segment* a unit of delivery · *init segment* · *part* an LL-HLS partial segment (never a tus body: that is a *body*;
an S3 multipart piece is an *S3 part*) · *manifest* either kind · HLS: *multivariant playlist, media playlist, variant,
alternative rendition* · DASH: *MPD, period, adaptation set, representation* · *lane* a priority class · *bell* a Celery
message · *lease, token, attempt* of a job.

Media time is exact: integer ticks with a timescale in loops, `Fraction` seconds in planning. Ranges are half-open
frame ranges. No floats for media time; other quantities carry their unit in their name (``_bps``, ``_bytes``, ``_ms``).
"""
